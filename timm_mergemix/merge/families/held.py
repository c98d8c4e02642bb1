"""Blocks of a known class in a module that is none of the known models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from ...errors import unusable
from .backbone import Backbone

__all__ = ["HeldBlocks"]


class HeldBlocks(Backbone):
    """A user's module: only its blocks are known, in the order in which they run.

    Args:
        model: The module.
        blocks: The blocks.
        prefix_tokens: Number of leading tokens that never merge; the first of them counts as a class token.
    """

    name = "blocks"
    models: ClassVar = {}
    default_size = None

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], prefix_tokens: int) -> None:
        self._blocks = list(blocks)
        self._prefix_tokens = prefix_tokens
        super().__init__(model)

    @classmethod
    def knows(cls, model: nn.Module) -> bool:
        """True: nothing of the model is known but its blocks."""
        return True

    def find_blocks(self) -> Sequence[nn.Module]:
        return self._blocks

    @property
    def prefix_tokens(self) -> int:
        """The leading tokens that never merge. The number of the model's own ones is unknown."""
        return self._prefix_tokens

    @property
    def has_class_token(self) -> bool:
        return self._prefix_tokens > 0

    def view(self) -> Backbone:
        """Raises, since a saliency pass needs a grid."""
        self.check_grid()
        return self

    def check_grid(self) -> None:
        """Raises, since the grid is unknown, like everything outside the blocks."""
        raise unusable(
            "model",
            f"only the blocks of {type(self.model).__name__} are known, not its grid of patches; timm_mergemix.record "
            "tells the tokens per layer of a forward pass",
        )

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises: the size of images is unknown."""
        self.check_grid()
        return height, width

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises: the grid is unknown."""
        return self.input_size(height, width)

    @property
    def in_channels(self) -> int:
        """Raises: the number of channels is unknown."""
        return self.input_size(0, 0)[0]

    def features(self, images: Tensor) -> Tensor:
        """Raises: the steps around the blocks are unknown."""
        self.check_grid()
        return images
