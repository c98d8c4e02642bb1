"""Keys of timm's attention modules, averaged over heads."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import MergeMixError
from ..blocks import MergingBlock

__all__ = ["HOOK", "REPLACED", "KeyedBlock", "captured_keys", "mean_key", "projected_key"]

AWAITED = "_merging_keys"
HOOK = "_merging_key_hook"
REPLACED = (
    "blocks: got an attention that was replaced while the model was patched, "
    "wanted the model unpatched and patched again"
)


class KeyedBlock(MergingBlock):
    """A block whose keys are read by a forward hook on each ``k_norm``, which timm always calls."""

    @classmethod
    @abstractmethod
    def key_norms(cls, block: Any) -> list[nn.Module]:
        """The modules that see the keys of a block."""

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        return cls.key_norms(block)

    @classmethod
    def attach(cls, block: Any) -> None:
        for k_norm in cls.key_norms(block):
            # An attribute, so that copies and pickles can lose it too.
            k_norm.__dict__[HOOK] = k_norm.register_forward_hook(_keep_keys)

    @classmethod
    def detach(cls, block: Any) -> None:
        for k_norm in cls.key_norms(block):
            if HOOK in k_norm.__dict__:  # else the attention was replaced while the model was patched
                k_norm.__dict__.pop(HOOK).remove()


def _keep_keys(module: nn.Module, args: Any, output: Tensor) -> None:
    # On the module itself, and only while a block waits for them: nothing is kept, and copies have keys of their own.
    # Their mean at once: it reads them while they are in the cache, and does not hold the memory of the projection.
    heads = getattr(module, AWAITED, None)
    if isinstance(heads, int):
        setattr(module, AWAITED, output.detach().mean(dim=heads))


class captured_keys:  # noqa: N801 - reads as a function; a class, since older compilers do not see through generators
    """Keeps the keys of the forward passes inside, averaged over heads; they are in ``keys`` when it is left.

    Args:
        block: Whose attention it is; if it cannot capture keys, there are none.
        *k_norms: Modules with the hook.
        heads: The axis of the heads in what they return.
    """

    def __init__(self, block: MergingBlock, *k_norms: nn.Module, heads: int = 1) -> None:
        self.k_norms = k_norms if block.captures_keys() else ()
        self.heads = heads
        self.keys: list[Tensor] = []

    def __enter__(self) -> list[Tensor]:
        for k_norm in self.k_norms:
            setattr(k_norm, AWAITED, self.heads)
        return self.keys

    def __exit__(self, *error: object) -> None:
        for k_norm in self.k_norms:
            self.keys.append(getattr(k_norm, AWAITED))
            delattr(k_norm, AWAITED)


def mean_key(keys: list[Tensor]) -> Tensor | None:
    """The metric of the matching: captured keys, averaged over attentions."""
    if not keys:
        return None
    if any(isinstance(key, int) for key in keys):  # no key came
        raise MergeMixError(REPLACED)
    return keys[0] if len(keys) == 1 else sum(keys[1:], keys[0]) / len(keys)


@torch.no_grad()
def projected_key(attn: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same where no ``k_norm`` sees the keys: the mean over heads of a fused projection is a small projection.

    Args:
        attn: Has ``qkv`` and ``num_heads``.
        x: (B, N, C), the attention's input.
        bias: (3 D H,), where the attention adds one to ``qkv.weight`` itself; None where it calls ``qkv``.
    """
    if bias is None and type(attn.qkv) is not nn.Linear:  # an adapter around it, or quantised
        return attn.qkv(x).chunk(3, dim=-1)[1].unflatten(-1, (attn.num_heads, -1)).mean(dim=-2)
    bias = attn.qkv.bias if bias is None else bias
    weight = attn.qkv.weight.chunk(3)[1].unflatten(0, (attn.num_heads, -1)).mean(dim=0)
    if bias is not None:
        bias = bias.chunk(3)[1].unflatten(0, (attn.num_heads, -1)).mean(dim=0)
    return F.linear(x, weight, bias)
