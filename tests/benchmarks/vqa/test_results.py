"""Tables of trainings on questions have means over seeds, and differences to the control with intervals."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from benchmarks.vqa.results import ANSWERS, PAIRS, difference, tables

NAMES = [name for name, _, _ in (*ANSWERS, *PAIRS)]


def record(
    arm: str, seed: int, accuracy: float, epochs: float = 1.5, brier: float = 0.5, **trial: Any
) -> dict[str, Any]:
    measured = {**dict.fromkeys(NAMES, 0.5), "accuracy": accuracy, "brier": brier}
    settings = {"variant": "hinge", "weight": 0.3, "detach_loser": False, **trial}
    plain = {"arm": arm, "seed": seed, "epochs": epochs, "test": True, **settings}
    return {"trial": plain, "steps": 10, "measured": measured}


CONTROL = [record("sft", seed, accuracy) for seed, accuracy in enumerate((0.70, 0.72, 0.77))]
BETTER = [record("mergemix", seed, accuracy) for seed, accuracy in enumerate((0.75, 0.78, 0.81))]
UNSURE = [record("cutmix", seed, accuracy) for seed, accuracy in enumerate((0.60, 0.79, 0.78))]


def rows(text: str) -> list[list[str]]:
    """Returns the cells of a table without its header."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_each_arm_has_its_mean_and_deviation() -> None:
    answers, pairs, _ = tables([*CONTROL, *BETTER]).split("\n\n")
    assert answers.startswith("| training | epochs | seeds | accuracy | of open questions | calibration error |")
    others = ["50.0 ± 0.0", "50.0 ± 0.0", "0.500 ± 0.000", "50.0 ± 0.0", "50.0 ± 0.0"]
    assert rows(answers) == [
        ["fine-tuning alone", "1.5", "3", "73.0 ± 3.6", *others],
        ["MergeMix (hinge 0.3)", "1.5", "3", "78.0 ± 3.0", *others],
    ]
    assert "accuracy on CutMix pairs | margin | rank correlation | accuracy on MergeMix pairs" in pairs
    assert [row[:4] for row in rows(pairs)] == [[*row[:3], "50.0 ± 0.0"] for row in rows(answers)]


def test_a_single_seed_has_no_deviation_and_no_difference() -> None:
    answers, _ = tables([CONTROL[0], BETTER[0]]).split("\n\n")
    assert [row[2:5] for row in rows(answers)] == [["1", "70.0", "50.0"], ["1", "75.0", "50.0"]]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_a_difference_has_an_interval_of_students_t(count: int) -> None:
    scipy = pytest.importorskip("scipy.stats")
    gains = [0.05, 0.06, 0.04, 0.11, -0.02, 0.03, 0.07, 0.01, 0.02, 0.08][:count]
    control = [record("sft", seed, 0.5 + 0.03 * seed) for seed in range(count)]
    own = [record("mergemix", seed, 0.5 + 0.03 * seed + gain) for seed, gain in enumerate(gains)]
    found = difference(own[::-1], control, "accuracy")
    assert found is not None
    low, high = scipy.t.interval(0.95, count - 1, statistics.mean(gains), statistics.stdev(gains) / math.sqrt(count))
    assert found[0] == pytest.approx((low + high) / 2)
    assert found[1] == pytest.approx((high - low) / 2, rel=1e-3)


def test_a_difference_agrees_with_a_calculation_by_hand() -> None:
    # 5, 6 and 4 points: mean 5, deviation 1, and 4.303 / sqrt(3) of it on either side.
    assert difference(BETTER, CONTROL, "accuracy") == pytest.approx((0.05, 0.01 * 4.303 / math.sqrt(3)))


def test_with_many_seeds_the_interval_is_never_too_narrow() -> None:
    control = [record("sft", seed, 0.5) for seed in range(14)]
    own = [record("mergemix", seed, 0.5 + 0.01 * (seed % 3)) for seed in range(14)]
    gains = [0.01 * (seed % 3) for seed in range(14)]
    found = difference(own, control, "accuracy")
    assert found is not None and found[1] >= 2.160 * statistics.stdev(gains) / math.sqrt(14)


def test_only_shared_seeds_count() -> None:
    others = [*BETTER[:2], record("mergemix", 7, 0.1)]
    assert difference(others, CONTROL, "accuracy") == difference(BETTER[:2], CONTROL, "accuracy")
    assert difference(BETTER[:1], CONTROL, "accuracy") is None
    assert difference(BETTER[2:], CONTROL[:2], "accuracy") is None


def test_a_difference_is_bold_if_its_interval_excludes_0() -> None:
    differences = tables([*CONTROL, *BETTER, *UNSURE]).split("\n\n")[2]
    assert differences.startswith("| over fine-tuning alone, 1.5 epochs | epochs | accuracy |")
    better, unsure = rows(differences)
    assert better[:3] == ["MergeMix (hinge 0.3)", "1.5", "**+5.0 ± 2.5**"]
    assert unsure[:2] == ["CutMix (hinge 0.3)", "1.5"] and unsure[2] == "-0.7 ± 21.4"
    assert set(better[3:]) == {"+0.0 ± 0.0", "+0.000 ± 0.000"}


def test_a_single_epoch_is_written_in_the_singular() -> None:
    records = [record(arm, seed, 0.7, epochs=1) for arm in ("sft", "mergemix") for seed in range(2)]
    assert tables(records).split("\n\n")[2].startswith("| over fine-tuning alone, 1 epoch | epochs |")


def test_significant_losses_are_bold_too() -> None:
    worse = [record("mergemix", seed, 0.9, brier=0.4 + 0.001 * seed) for seed in range(3)]
    differences = tables([*CONTROL, *worse]).split("\n\n")[2]
    (row,) = rows(differences)
    assert row[5] == "**-0.099 ± 0.002**"


def test_longer_trainings_come_last_and_are_compared_with_each_control() -> None:
    longer = [record("sft", seed, 0.8, epochs=2.655) for seed in range(3)]
    half = [record("mergemix-half", seed, 0.7, epochs=1.8) for seed in range(3)]
    parts = tables([*longer, *half, *CONTROL, *BETTER]).split("\n\n")
    control, mergemix, merged, for_longer = names = [
        ["fine-tuning alone", "1.5"],
        ["MergeMix (hinge 0.3)", "1.5"],
        ["MergeMix, half the tokens (hinge 0.3)", "1.8"],
        ["fine-tuning alone", "2.65"],
    ]
    assert [row[:2] for row in rows(parts[0])] == names
    over = {part.split(" | ")[0].removeprefix("| "): [row[:2] for row in rows(part)] for part in parts[2:]}
    assert over == {
        "over fine-tuning alone, 1.5 epochs": [mergemix, merged, for_longer],
        "over fine-tuning alone, 2.65 epochs": [control, mergemix, merged],
    }


def test_a_control_with_half_the_tokens_is_only_compared_with_equal_trainings() -> None:
    half = [record(arm, seed, 0.7) for arm in ("sft-half", "mergemix-half") for seed in range(3)]
    differences = tables([*CONTROL, *BETTER, *half]).split("\n\n")[2:]
    assert [part.split(" | ")[0] for part in differences] == [
        "| over fine-tuning alone, 1.5 epochs",
        "| over fine-tuning alone, half the tokens, 1.5 epochs",
    ]
    assert [row[0] for row in rows(differences[1])] == ["MergeMix, half the tokens (hinge 0.3)"]
    assert len(rows(differences[0])) == 3


def test_held_out_drawings_and_test_questions_are_in_separate_tables() -> None:
    held_out = [record(arm, seed, 0.9, test=False) for arm in ("sft", "mergemix") for seed in range(3)]
    parts = tables([*held_out, *CONTROL, *BETTER]).split("\n\n")
    assert tables([*CONTROL, *BETTER]).split("\n\n") == parts[:3]
    assert [part.split(" | ")[0] for part in parts[3:]] == [
        "| training, held-out drawings",
        "| training, held-out drawings",
        "| over fine-tuning alone, 1.5 epochs, held-out drawings",
    ]
    assert rows(parts[3])[0][3] == "90.0 ± 0.0"


def test_other_settings_of_the_preference_are_separate_rows() -> None:
    settings = ({"variant": "simpo", "weight": 1.0}, {}, {"detach_loser": True})
    others = [record("mergemix", seed, 0.8, **each) for each in settings for seed in range(2)]
    answers, _, differences = tables([*CONTROL[:2], *others]).split("\n\n")
    titles = ["MergeMix (simpo 1)", "MergeMix (hinge 0.3)", "MergeMix (hinge 0.3, loser detached)"]
    assert [row[0] for row in rows(answers)] == ["fine-tuning alone", *titles]
    assert [row[2] for row in rows(answers)] == ["2"] * 4
    assert [row[0] for row in rows(differences)] == titles


def test_trainings_without_the_preference_have_no_settings_of_it() -> None:
    control = [record("sft", 0, 0.7), record("sft", 1, 0.7, variant="simpo", weight=1.0)]
    answers, *_ = tables(control).split("\n\n")
    assert [row[:3] for row in rows(answers)] == [["fine-tuning alone", "1.5", "2"]]


def test_without_a_control_nothing_is_compared() -> None:
    assert len(tables(BETTER).split("\n\n")) == 2
