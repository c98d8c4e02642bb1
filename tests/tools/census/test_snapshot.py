"""A snapshot shows what was left behind in a model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
from torch import nn

from tools.census.snapshot import difference, snapshot


def model() -> nn.Module:
    return timm.create_model("test_vit")


def test_an_unchanged_model_has_no_difference() -> None:
    made = model()
    assert difference(snapshot(made), snapshot(made)) is None


def test_equal_values_are_not_a_difference() -> None:
    made = model()
    before = snapshot(made)
    made.blocks[0].register_forward_hook(print).remove()
    made.num_classes = int(str(made.num_classes))
    assert difference(before, snapshot(made)) is None


CHANGES = {
    "model: class Other, was VisionTransformer": lambda made: setattr(
        made, "__class__", type("Other", (nn.Module,), {})
    ),
    "modules differ: .*extra": lambda made: made.add_module("extra", nn.Identity()),
    r"blocks\.0: attributes differ: \['left'\]": lambda made: setattr(made.blocks[0], "left", 1),
    r"blocks\.0\._forward_hooks is": lambda made: made.blocks[0].register_forward_hook(print),
    r"model\.num_classes is 3, was 1000": lambda made: setattr(made, "num_classes", 3),
    r"model\._parameters is": lambda made: setattr(made, "cls_token", nn.Parameter(made.cls_token.clone())),
}


@pytest.mark.parametrize("message", CHANGES)
def test_each_change_is_found(message: str) -> None:
    change: Callable[[nn.Module], object] = CHANGES[message]
    made = model()
    before = snapshot(made)
    change(made)
    found = difference(before, snapshot(made))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found)
