"""A model's behaviour depends on its merging, modes and parameters; torch's own settings are restored."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tools.interrupts.state import Expected, behaviour, first_difference, reset_torch
from tools.tiny import FAMILIES


@pytest.fixture(scope="module")
def expected() -> Expected:
    x = FAMILIES["vit"].inputs(0)[0]
    assert isinstance(x, Tensor)
    return Expected(FAMILIES["vit"].build().train(), x)


@pytest.mark.parametrize("r", [None, 0, 1, 3])
def test_copies_behave_the_same(expected: Expected, r: int | None) -> None:
    assert first_difference(behaviour(expected.model(r), expected.x), expected.behaviour(r)) is None


def test_another_r_and_another_parameter_are_differences(expected: Expected) -> None:
    assert first_difference(expected.behaviour(1), expected.behaviour(3)) is not None
    model = expected.model(1)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    assert first_difference(behaviour(model, expected.x), expected.behaviour(1)) is not None


def test_one_module_in_another_mode_is_a_difference(expected: Expected) -> None:
    model = expected.model(None)
    model.head.eval()
    assert first_difference(behaviour(model, expected.x), expected.behaviour(None)) == "different modes"


def test_reset_torch_restores_settings_and_returns_whether_any_had_changed() -> None:
    assert not reset_torch()
    torch.set_grad_enabled(False)
    assert reset_torch()
    torch.set_autocast_enabled("cpu", True)
    assert reset_torch()
    assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
