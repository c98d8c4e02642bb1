"""Gains are those of shared seeds, and the reference has none over itself."""

from __future__ import annotations

from benchmarks.study.gains import draw_gains, gains_table
from benchmarks.study.questions import Question

ORACLE = Question("oracle", "", "openclipart-scratch", ("none", "cutmix", "random-patches"))


def record(method: str, seed: int, top1: float, **options: object) -> dict[str, object]:
    trial = {
        "task": "openclipart-scratch",
        "method": method,
        "seed": seed,
        "options": sorted(options.items()),
        "test": True,
    }
    measures = {"top1": top1, "ece": 0.1, "ground swapped": 0.2, "salient patches hidden": 0.3}
    return {"trial": trial, "circumstances": "", "epochs": 100, "val": {}, "test": measures}


RECORDS = [
    *(record("none", seed, 0.2 + 0.01 * seed) for seed in range(3)),
    *(record("cutmix", seed, 0.3 + 0.02 * seed, prob=0.5) for seed in range(3)),
    *(record("mergemix", seed, 0.3, prob=0.5, select="both") for seed in range(2)),
    record("oracle-seen", 0, 0.5, prob=0.5),
    {**record("cutmix", 0, 0.9), "trial": {**record("cutmix", 0, 0.9)["trial"], "task": "mnist"}},
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_gains_with_intervals() -> None:
    head, _, *rows = gains_table(RECORDS, ORACLE).splitlines()
    assert cells(head)[2:6] == ["top-1", "over no mixing", "over CutMix", "over random patches alone"]
    found = {cells(row)[0]: cells(row)[1:] for row in rows}
    assert list(found) == [
        "no mixing",
        "CutMix",
        "MergeMix alone (select both)",
        "oracle: the object's patches, ratio by objects seen",
    ]
    assert found["no mixing"] == [
        "3",
        "21.0 ± 1.0",
        "",
        "-11.0 (-13.5 to -8.5)",
        "",
        "10.0 ± 0.0",
        "20.0 ± 0.0",
        "30.0 ± 0.0",
    ]
    assert found["CutMix"][2:4] == ["+11.0 (+8.5 to +13.5)", ""]
    assert found["MergeMix alone (select both)"][2].startswith("+9.5 (")
    assert found["oracle: the object's patches, ratio by objects seen"][:4] == ["1", "50.0", "+30.0", "+20.0"]


def test_the_picture_has_a_row_for_each_method_with_all_seeds() -> None:
    third = record("mergemix", 2, 0.3, prob=0.5, select="both")
    (axis,) = draw_gains([*RECORDS, third], ORACLE).axes
    labels = [label.get_text().replace("\n", " ") for label in axis.get_yticklabels()]
    assert labels == ["MergeMix alone (select both)", "CutMix"]
    means = [container[0].get_xdata()[0] for container in axis.containers]
    assert [round(mean, 6) for mean in means] == [9.0, 11.0]


def test_a_method_is_compared_with_trials_of_about_as_many_epochs() -> None:
    def at(method: str, top1: float, epochs: int) -> list[dict[str, object]]:
        own = {"epochs": epochs} if epochs != 100 else {}
        return [{**record(method, seed, top1 + 0.01 * seed, **own), "epochs": epochs} for seed in range(2)]

    records = [*at("cutmix", 0.3, 100), *at("cutmix", 0.2, 50), *at("mergemix", 0.4, 100), *at("mergemix", 0.35, 48)]
    costs = [{"key": ["openclipart-scratch", "mergemix", [], "cpu", 1], "cost": [2.0, 1.9, 2.1]}]
    head, _, *rows = gains_table(records, Question("q", "", "openclipart-scratch", ("cutmix",)), costs).splitlines()
    assert cells(head)[2:5] == ["time", "top-1", "over CutMix"]
    assert [(cells(row)[0], *cells(row)[2:5]) for row in rows] == [
        ("CutMix, 100 epochs", "100", "30.5 ± 0.7", ""),
        ("MergeMix alone, 100 epochs", "200", "40.5 ± 0.7", "+10.0 (+10.0 to +10.0)"),
        ("CutMix, 50 epochs", "50", "20.5 ± 0.7", ""),
        ("MergeMix alone, 48 epochs", "96", "35.5 ± 0.7", "+15.0 (+15.0 to +15.0)"),
    ]
