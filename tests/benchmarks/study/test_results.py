"""Tables of trials have the mean and deviation over seeds, and only columns that were measured."""

from typing import Any

from benchmarks.study.results import paired, spread, tables
from benchmarks.study.search import drawn_combinations

PLAIN = {"top1": 0.8, "ece": 0.1, "ece_scaled": 0.05, "temperature": 0.7, "brier": 0.3}
ROBUST = dict.fromkeys(
    ("noise", "blur", "contrast", "random patches hidden", "salient patches hidden", "unmerged", "merged to half"), 0.5
)


def record(method: str, seed: int, top1: float, test: bool = False, options: Any = ()) -> dict[str, Any]:
    trial = {"task": "fashion", "method": method, "seed": seed, "options": list(map(list, options)), "test": test}
    found = {"val": {**PLAIN, "top1": top1}}
    return {
        "trial": trial,
        "circumstances": "c",
        "epochs": 5,
        **found,
        **({"test": {**PLAIN, **ROBUST, "top1": top1}} if test else {}),
    }


RECORDS = [
    record("none", 0, 0.7),
    record("none", 1, 0.8),
    record("mergemix", 0, 0.9, options=[("lr", 0.1)]),
    record("mergemix", 0, 0.6, test=True),
]


def test_tables_show_mean_and_deviation() -> None:
    text = tables(RECORDS, "val")
    assert "| no mixing | 2 | 5 | 75.0 ± 7.1 |" in text
    assert "All that mix: lr 0.1." in text and "| MergeMix alone | 1 | 5 | 90.0 |" in text
    assert "salient patches hidden" not in text and "salient patches hidden" in tables(RECORDS, "test")


def test_a_column_is_shown_only_if_it_was_measured() -> None:
    lines = [record("none", 0, 0.7)]
    del lines[0]["val"]["ece_scaled"]
    assert "calibration error" in tables(lines, "val") and "scaled by temperature" not in tables(lines, "val")


def test_robustness_on_validation_images_is_shown_if_measured() -> None:
    later = record("timm", 0, 0.7)
    later["val"] |= ROBUST
    text = tables([*RECORDS, later], "val")
    rows = text[text.index("salient patches hidden") :].splitlines()
    assert rows[2].startswith("| no mixing") and rows[2].count("50.0") == 0
    assert rows[3].startswith("| Mixup + CutMix") and rows[3].count("50.0") == 8


def test_the_mean_of_robustness_is_over_the_corrupted_images() -> None:
    lines = [record("none", seed, 0.7, test=True) for seed in (0, 1)]
    for seed, line in enumerate(lines):
        line["test"] |= dict.fromkeys(("noise", "blur", "contrast"), 0.6 + 0.2 * seed)
        line["test"] |= {"unmerged": 0.9, "merged to half": 0.1}
    row = tables(lines, "test").splitlines()[-1]
    worse = ["60.0", "60.0", "60.0", "50.0", "50.0", "56.0"]
    assert [cell.split(" ")[0] for cell in row.split(" | ")[2:4]] == ["90.0", "10.0"]
    first = tables(lines[:1], "test").splitlines()[-1]
    assert first.strip("| ").split(" | ")[4:] == worse and row.endswith("| 62.0 ± 8.5 |")


def test_differences_are_between_equal_seeds() -> None:
    reference = [record("timm", seed, top1) for seed, top1 in ((0, 0.5), (1, 0.6), (2, 0.9))]
    own = [record("mergemix", seed, top1) for seed, top1 in ((0, 0.52), (1, 0.64), (3, 0.1))]
    assert paired(own, reference, "val") == "+3.0 ± 1.4"
    assert paired(own[2:], reference, "val") == "" and paired(reference, reference, "val") == ""
    assert "| +3.0 ± 1.4 |" in tables([*reference, *own], "val")


def test_spread_formats_mean_and_deviation() -> None:
    assert spread([0.5], share=True) == "50.0"
    assert spread([1.0, 2.0], share=False) == "1.500 ± 0.707"


def test_a_search_shows_the_gain_of_each_value() -> None:
    drawn = drawn_combinations({"lr": [0.1, 0.2], "prob": [1, 0.5]}, 8)
    lines = [record("timm", 0, 0.5 + 0.1 * (each["lr"] == 0.2), options=each.items()) for each in drawn]
    text = tables([*lines, *RECORDS], "val")
    assert "8 trials that set lr, prob: what each value changes, all else equal" in text
    assert "| lr 0.2 | 0.1 | +10.0 ± 0.0 |" in text and text.count("all else equal") == 1


def test_trials_that_differ_only_in_method_are_not_a_search() -> None:
    lines = [record(name, seed, 0.5, options=[("lr", 0.1)]) for name in ("timm", "mixup") for seed in range(3)]
    assert "all else equal" not in tables(lines, "val")


def test_pairs_are_shown_if_they_were_measured() -> None:
    later = record("preference", 0, 0.7, test=True)
    later["test"] |= {"mergemix_accuracy": 0.9, "mergemix_margin": 1.25, "cutmix_correlation": 0.5}
    assert "pairs" not in tables(RECORDS, "test")
    *_, header, _, only = tables([*RECORDS, later], "test").splitlines()
    assert header.startswith("| method | epochs | accuracy on MergeMix pairs | margin on MergeMix pairs |")
    assert only == "| MergeMix alone, with preference | 5 | 90.0 | 1.250 |  |  |  |  |  | 0.500 |"


def test_weather_and_other_grounds_are_shown_where_they_were_measured() -> None:
    later = record("timm", 0, 0.7)
    later["val"] |= {**ROBUST, "fog": 0.25, "rain": 0.5, "snow": 0.75}
    text = tables([*RECORDS, later], "val")
    assert "fog" not in tables(RECORDS, "val")
    header, _, only = text[text.index("| method | epochs | fog") :].splitlines()
    assert header == "| method | epochs | fog | rain | snow |"
    assert only == "| Mixup + CutMix | 5 | 25.0 | 50.0 | 75.0 |"
    later["val"]["ground textured"] = 0.1
    assert "| snow | ground textured |" in tables([later], "val")
