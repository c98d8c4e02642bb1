"""Whether a block gets what the block before it has returned."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Handover"]


class Handover:
    """Tokens on their way from one block to the next.

    Sizes and source map belong to exactly these tokens. They would be wrong for any other tokens, such as rows in
    another order or the tokens of another pass.

    Args:
        x: (B, N, C), as a block returns them.
        lenient: Whether something in between changes tokens, each in its place. Then only their number is compared.
    """

    def __init__(self, x: Tensor, lenient: bool = False) -> None:
        self.x = x
        self.lenient = lenient
        self.version = _version(x)

    def delivers(self, x: Tensor) -> bool:
        """Whether ``x`` holds these values: itself, an alias (FSDP, checkpoints) or a copy (a cast, another device)."""
        if self.lenient:
            return x.shape[:2] == self.x.shape[:2]
        if torch.compiler.is_compiling():
            return x is self.x or _delivers_values(self, x)
        if x is self.x or _is_alias(x, self.x):
            return _version(x) == self.version
        return _delivers_values(self, x)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _delivers_values(handover: Handover, x: Tensor) -> bool:
    return x.shape == handover.x.shape and torch.allclose(
        x.detach(), handover.x.detach().to(x), rtol=0, atol=0, equal_nan=True
    )


def _is_alias(x: Tensor, other: Tensor) -> bool:
    return x.shape == other.shape and x.stride() == other.stride() and x.data_ptr() == other.data_ptr()


def _version(x: Tensor) -> int:
    """How often a tensor has been written to, as far as torch counts it."""
    return 0 if torch.compiler.is_compiling() or x.is_inference() else x._version
