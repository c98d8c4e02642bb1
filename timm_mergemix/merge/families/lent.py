"""A tensor that a block lends to a module inside its attention, for one forward pass of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...errors import MergeMixError
from .keys import REPLACED

__all__ = ["HOOK", "Borrower", "attach", "borrowed", "detach", "lend"]

LENT = "_merging_lent"
HOOK = "_merging_add_hook"
BORROWS = "_merging_borrows"  # beside the hook, since older compilers do not look at a handle


class Borrower(nn.Module):
    """Mixin of modules that use what they have been lent; others have it added to their output, by a hook."""


def borrowed(module: nn.Module) -> Tensor | None:
    """What the module has been lent, or None."""
    return getattr(module, LENT, None)


class lend:  # noqa: N801 - reads as a function; a class, since older compilers do not see through generators
    """Lends a tensor to a module while the context is open. It is on the module itself, so copies have none of it.

    Args:
        module: Who borrows.
        tensor: What; None lends nothing.
    """

    def __init__(self, module: nn.Module, tensor: Tensor | None) -> None:
        self.module = module
        self.tensor = tensor

    def __enter__(self) -> None:
        if self.tensor is None:
            return
        if not hasattr(self.module, BORROWS) and not isinstance(self.module, Borrower):
            raise MergeMixError(REPLACED)
        setattr(self.module, LENT, self.tensor)

    def __exit__(self, *error: object) -> None:
        if self.tensor is not None:
            delattr(self.module, LENT)


def attach(module: nn.Module) -> None:
    """Adds a hook by which the module's output is added to by what it has been lent."""
    module.__dict__[HOOK] = module.register_forward_hook(_add_lent)
    module.__dict__[BORROWS] = True


def detach(module: nn.Module) -> None:
    """Removes the hook, if there is one."""
    if module.__dict__.pop(BORROWS, False):
        module.__dict__.pop(HOOK).remove()


def _add_lent(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    lent = borrowed(module)
    return output if lent is None else output + lent
