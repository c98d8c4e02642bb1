"""Keys of timm's attention modules, read by a forward hook on ``k_norm``, which timm always calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["attach", "captured_keys", "detach"]

AWAITED = "_merging_keys"
HOOK = "_merging_key_hook"


def attach(k_norm: nn.Module) -> None:
    """Adds the hook. It is kept as an attribute, so that copies and pickles of it can be removed too."""
    k_norm.__dict__[HOOK] = k_norm.register_forward_hook(_keep_keys)


def detach(k_norm: nn.Module) -> None:
    """Removes the hook."""
    k_norm.__dict__.pop(HOOK).remove()


def _keep_keys(module: nn.Module, args: Any, output: Tensor) -> None:
    # On the module itself, and only while a block waits for them: nothing is kept, and copies have keys of their own.
    if AWAITED in module.__dict__:
        module.__dict__[AWAITED] = output


@contextmanager
def captured_keys(*k_norms: nn.Module) -> Iterator[list[Tensor]]:
    """Keeps the keys of the forward passes inside; they are in the list that it yields when it is left.

    Args:
        *k_norms: Modules with the hook.

    Yields:
        A list that is filled at the end: (B, H, N, D) for each module.
    """
    keys: list[Tensor] = []
    for k_norm in k_norms:
        k_norm.__dict__[AWAITED] = None
    try:
        yield keys
    finally:
        keys += [k_norm.__dict__.pop(AWAITED) for k_norm in k_norms]
