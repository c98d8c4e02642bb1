"""A tensor that a block lends to a module inside its attention, for one forward pass of it."""

from __future__ import annotations

import threading
from typing import Any

from torch import Tensor, nn

from ...errors import MergeMixError
from ..passes import Here
from .hooks import has_hook, hook, unhook
from .keys import REPLACED

__all__ = ["Borrower", "attach", "borrowed", "borrows", "detach", "lend"]


class Borrower(nn.Module):
    """Mixin of modules that use what they have been lent; others have it added to their output, by a hook."""


class lend:  # noqa: N801 - reads as a function; a class, since older compilers do not see through generators
    """Lends a tensor to a module while the context is open.

    Only its own pass sees it: several threads may use a module at once, and a hook may run the model again.

    Args:
        here: Where the pass of this thread is.
        module: Who borrows.
        tensor: What; None lends nothing.
    """

    def __init__(self, here: Here, module: nn.Module, tensor: Tensor | None) -> None:
        self.here = here
        self.current = here.current
        self.module = module
        self.tensor = tensor
        self.before: lend | None = None

    def __enter__(self) -> None:
        if self.tensor is None:
            return
        if not borrows(self.module):
            raise MergeMixError(REPLACED)
        self.before, _HERE.lent = _HERE.lent, self

    def __exit__(self, *error: object) -> None:
        if self.tensor is not None:
            _HERE.lent = self.before


class _Here(threading.local):
    """The loan that this thread has made last; each knows the one before it."""

    def __init__(self) -> None:
        self.lent: lend | None = None


_HERE = _Here()


def borrowed(module: nn.Module) -> Tensor | None:
    """What the module has been lent, or None."""
    loan = _HERE.lent
    while loan is not None:
        if loan.module is module and loan.here.current is loan.current:
            return loan.tensor
        loan = loan.before
    return None


def borrows(module: nn.Module) -> bool:
    """Whether the module is one to which something can be lent."""
    return isinstance(module, Borrower) or has_hook(module, _add_lent)


def attach(module: nn.Module) -> None:
    """Adds a hook by which the module's output is added to by what it has been lent."""
    hook(module, _add_lent)


def detach(module: nn.Module) -> None:
    """Removes the hook, if there is one."""
    unhook(module, _add_lent)


def _add_lent(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    lent = borrowed(module)
    return output if lent is None else output + lent
