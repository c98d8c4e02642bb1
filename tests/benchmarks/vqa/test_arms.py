"""The comparison has an arm for each kind of mix, with all tokens and with half of them."""

import pytest

from benchmarks.vqa.arms import ARMS, CONTROL, LONGER, find_arm
from timm_mergemix import MergeMixError
from timm_mergemix.training.vqa import arms as demo


def test_each_kind_of_mix_exists_with_all_tokens_and_with_half() -> None:
    assert list(ARMS) == [
        *("sft", "mergemix", "cutmix", "random"),
        *("sft-half", "mergemix-half", "cutmix-half", "random-half"),
    ]
    for name, arm in ARMS.items():
        kind, _, half = name.partition("-")
        assert (arm.name, arm.kind, arm.keep) == (name, None if kind == "sft" else kind, 0.5 if half else 1.0)
    assert len({arm.title for arm in ARMS.values()}) == 8


def test_the_arms_include_those_of_the_demo() -> None:
    compared = {(arm.kind, arm.keep) for arm in ARMS.values()}
    assert {(arm.kind, arm.keep) for arm in demo.ARMS} <= compared


def test_the_control_has_no_preference_and_all_tokens() -> None:
    control = find_arm(CONTROL)
    assert control.kind is None and control.keep == 1


def test_the_reference_at_equal_time_is_not_among_the_longer_trainings() -> None:
    slowest, longer = LONGER
    assert slowest in ARMS and set(longer) <= set(ARMS) - {slowest}


def test_an_unknown_arm_is_refused() -> None:
    assert find_arm("cutmix-half") is ARMS["cutmix-half"]
    with pytest.raises(MergeMixError, match="arms: got 'dpo', wanted one of 'sft', "):
        find_arm("dpo")
