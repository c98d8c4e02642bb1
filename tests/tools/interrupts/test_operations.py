"""Without an interrupt, each operation leaves the model in the state that it declares."""

from __future__ import annotations

import pytest
from torch import Tensor

from tools.interrupts.operations import OPERATIONS, Operation
from tools.interrupts.state import Expected, behaviour, first_difference
from tools.tiny import FAMILIES


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_operation_leaves_the_declared_r(operation: Operation) -> None:
    x = FAMILIES["vit"].inputs(0)[0]
    assert isinstance(x, Tensor)
    expected = Expected(FAMILIES["vit"].build().train(), x)
    model = expected.model(operation.before_r)
    operation.run(model, x)
    assert first_difference(behaviour(model, x), expected.behaviour(operation.leaves_r)) is None


def test_names_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
