"""Settings of the optimisation are checked when they are made."""

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.training.settings import Optimisation


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("lr", -1), ("beta2", 2), ("smoothing", 1.5)])
def test_a_setting_out_of_its_range_is_named(name: str, value: float) -> None:
    with pytest.raises(MergeMixError, match=f"^{name}: got {value}"):
        Optimisation(**{name: value})


def test_the_norm_of_the_gradient_may_be_unlimited() -> None:
    assert Optimisation(clip_grad=None).clip_grad is None
