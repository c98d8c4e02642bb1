"""Keys of timm's attention modules, read by a forward hook on ``k_norm``, which timm always calls."""

from __future__ import annotations

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
    if hasattr(module, AWAITED):
        setattr(module, AWAITED, output)


class captured_keys:  # noqa: N801 - reads as a function; a class, since older compilers do not see through generators
    """Keeps the keys of the forward passes inside; they are in ``keys`` when it is left.

    Args:
        *k_norms: Modules with the hook.
    """

    def __init__(self, *k_norms: nn.Module) -> None:
        self.k_norms = k_norms
        self.keys: list[Tensor] = []

    def __enter__(self) -> list[Tensor]:
        for k_norm in self.k_norms:
            setattr(k_norm, AWAITED, None)
        return self.keys

    def __exit__(self, *error: object) -> None:
        for k_norm in self.k_norms:
            self.keys.append(getattr(k_norm, AWAITED))
            delattr(k_norm, AWAITED)
