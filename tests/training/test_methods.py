"""What the demo compares, and which settings it refuses."""

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.training.methods import METHODS, DemoSettings


def test_methods_differ_in_mixing_and_merging() -> None:
    assert [(method.mixer, method.merges) for method in METHODS] == [("mergemix", True), ("timm", False)]


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 1}, {"lr": -1.0}, {"r": -1}, {"seed": -1}])
def test_bad_settings(bad: dict[str, float]) -> None:
    with pytest.raises(MergeMixError, match=next(iter(bad))):
        DemoSettings(**bad)
