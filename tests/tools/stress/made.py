"""Made-up calls for the tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tools.stress.calls import Call, Run
from tools.stress.tally import Known


class Shared(nn.Module):
    """A model whose calls write to it."""

    value = 0


def giving(value: float, kind: str = "made") -> Call:
    """A call that returns a given value."""

    def run(model: nn.Module) -> Run:
        yield
        return [torch.tensor([value])]

    return Call(kind, run)


def writing(value: int) -> Known:
    """A call that is right only if no other call writes to the model before it reads."""

    def run(model: nn.Module) -> Run:
        model.value = value
        yield
        return [torch.tensor([model.value])]

    return Known(Call("writing", run), [torch.tensor([value])])


def raising(error: Callable[[], Exception]) -> Call:
    """A call that raises an error."""

    def run(model: nn.Module) -> Run:
        yield
        raise error()

    return Call("raising", run)
