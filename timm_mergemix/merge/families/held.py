"""Blocks of a known class in a module that is none of the known models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from ...errors import unusable
from .family import Family

__all__ = ["HeldBlocks"]


class HeldBlocks(Family):
    """A user's module: only its blocks are known, in the order in which they run.

    Args:
        blocks: The blocks.
        prefix_tokens: Number of leading tokens that never merge; the first of them counts as a class token.
    """

    name = "blocks"
    models: ClassVar = {}

    def __init__(self, blocks: Sequence[nn.Module], prefix_tokens: int) -> None:
        self._blocks = list(blocks)
        self._prefix_tokens = prefix_tokens

    def find_blocks(self, model: Any) -> Sequence[nn.Module]:
        """See `Family`."""
        return self._blocks

    def prefix_tokens(self, model: Any) -> int:
        """See `Family`."""
        return self._prefix_tokens

    def has_class_token(self, model: Any) -> bool:
        """See `Family`."""
        return self._prefix_tokens > 0

    def check_grid(self, model: Any) -> None:
        """See `Family`: unknown, like all that lies outside the blocks."""
        raise unusable(
            "model",
            f"only the blocks of {type(model).__name__} are known, not its grid of patches; "
            "timm_mergemix.record tells the tokens per layer of a forward pass",
        )

    def input_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """See `check_grid`."""
        self.check_grid(model)
        return height, width

    def grid_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """See `check_grid`."""
        return self.input_size(model, height, width)

    def default_size(self, model: Any) -> tuple[int, int] | None:
        """See `Family`."""
        return None

    def in_channels(self, model: Any) -> int:
        """See `check_grid`."""
        return self.input_size(model, 0, 0)[0]

    def features(self, model: Any, images: Tensor) -> Tensor:
        """See `check_grid`."""
        self.check_grid(model)
        return images
