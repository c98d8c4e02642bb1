"""Keys of timm's attention modules, averaged over heads."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import MergeMixError
from ..blocks import MergingBlock
from .hooks import has_hook, hook, unhook

__all__ = ["REPLACED", "KeyedBlock", "captured_keys", "mean_key", "per_head", "projected_key", "shows_keys"]

Make = Callable[[Any, tuple[Tensor, ...], Tensor], Tensor]

REPLACED = (
    "blocks: got an attention that was replaced while the model was patched, "
    "wanted the model unpatched and patched again"
)


class KeyedBlock(MergingBlock):
    """A block whose keys are read by a forward hook on modules that its attention always calls: its ``k_norm``s."""

    @classmethod
    @abstractmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        """The modules that see the keys of a block."""

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        return cls.key_modules(block)

    @classmethod
    def attach(cls, block: Any) -> None:
        for module in cls.key_modules(block):
            hook(module, _show_keys)

    @classmethod
    def detach(cls, block: Any) -> None:
        for module in block.modules():  # not the key modules alone: the attention may have been replaced since
            unhook(module, _show_keys)


class captured_keys:  # noqa: N801 - reads as a function; a class, since older compilers do not see through generators
    """Keeps the keys of the forward passes inside, averaged over heads. Afterwards they are in ``keys``.

    Only keys of its own pass are kept: several threads may use a module at once, and a hook may run the model again.

    Args:
        block: Whose attention it is; if it cannot capture keys, there are none.
        *modules: Its `KeyedBlock.key_modules`.
        make: Makes the mean key (B, N, D) of a module, its arguments and what it returns; None if that is the
            keys (B, H, N, D).
    """

    def __init__(self, block: MergingBlock, *modules: nn.Module, make: Make | None = None) -> None:
        self.modules = modules if block.captures_keys() else ()
        self.here = block.merging.here
        self.current = self.here.current
        self.make = _mean_over_heads if make is None else make
        self.found: list[Tensor | None] = [None] * len(self.modules)
        self.keys: list[Tensor] = []
        self.before: captured_keys | None = None

    def __enter__(self) -> list[Tensor]:
        if self.modules:
            self.before, _HERE.waiting = _HERE.waiting, self
        return self.keys

    def __exit__(self, kind: object, *error: object) -> None:
        if not self.modules:
            return
        _HERE.waiting = self.before
        self.keys += [key for key in self.found if key is not None]
        if kind is None and len(self.keys) < len(self.modules):
            raise MergeMixError(REPLACED)


class _Here(threading.local):
    """Who waits for keys in this thread."""

    def __init__(self) -> None:
        self.waiting: captured_keys | None = None


_HERE = _Here()


def _show_keys(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
    waiting = _HERE.waiting
    if waiting is None or waiting.here.current is not waiting.current:
        return
    for index, known in enumerate(waiting.modules):
        if known is module:
            # The mean at once: it reads the keys while they are in the cache, and their memory is soon free.
            waiting.found[index] = waiting.make(module, args, output)


def _mean_over_heads(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.detach().mean(dim=1)


def per_head(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Makes the mean key for `captured_keys` from keys whose heads come after the tokens, (B, N, H, D)."""
    return output.detach().mean(dim=2)


def shows_keys(module: nn.Module) -> bool:
    """Whether the module has the hook that shows keys."""
    return has_hook(module, _show_keys)


def mean_key(keys: list[Tensor]) -> Tensor | None:
    """The metric of the matching: captured keys, averaged over attentions."""
    if not keys:
        return None
    return keys[0] if len(keys) == 1 else sum(keys[1:], keys[0]) / len(keys)


@torch.no_grad()
def projected_key(weight: Tensor, bias: Tensor | None, heads: int, x: Tensor) -> Tensor:
    """The mean key by a small projection, the mean over heads of a larger one, where an attention reads weights itself.

    Args:
        weight: (3 H D, C), of queries, keys and values.
        bias: (3 H D,), or None.
        heads: Number of heads.
        x: (B, N, C), the attention's input.
    """
    weight = weight.chunk(3)[1].unflatten(0, (heads, -1)).mean(dim=0)
    if bias is not None:
        bias = bias.chunk(3)[1].unflatten(0, (heads, -1)).mean(dim=0)
    return F.linear(x, weight, bias)
