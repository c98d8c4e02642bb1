"""What the patch and the saliency pass must know about a kind of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from torch import Tensor, nn

from ...errors import unusable

__all__ = ["Family"]


class Family(ABC):
    """Models that are patched in the same way.

    Attributes:
        name: What `supported` reports.
        models: The model classes, and the merging class of each.
        wrappers: Classes that hold such a model as ``encoder`` and pass it their images as they are.
    """

    name: str
    models: ClassVar[dict[type[nn.Module], type[nn.Module]]]
    wrappers: ClassVar[tuple[type[nn.Module], ...]] = ()

    @abstractmethod
    def find_blocks(self, model: Any) -> Sequence[nn.Module]:
        """The transformer blocks in the order in which they run."""

    @abstractmethod
    def prefix_tokens(self, model: Any) -> int:
        """Number of leading tokens that are no patches."""

    @abstractmethod
    def has_class_token(self, model: Any) -> bool:
        """Whether the first token is a class token."""

    @abstractmethod
    def input_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """The image size (pixels) at which the model can see an image of ``height`` x ``width``."""

    @abstractmethod
    def grid_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for an image of a size that `input_size` gave."""

    @abstractmethod
    def default_size(self, model: Any) -> tuple[int, int] | None:
        """The image size (pixels) that the model was made for, or None."""

    def only_size(self, model: Any) -> tuple[int, int] | None:
        """The size (pixels) at which the model sees all images; None where it sees them at their own."""
        size = self.default_size(model)
        return size if size is not None and self.input_size(model, 1, 1) == size else None

    def at_any_size(self, model: Any) -> AbstractContextManager[None]:
        """Inside, a model that was made for one image size takes others too, if its kind can: `input_size` tells."""
        return nullcontext()

    @abstractmethod
    def in_channels(self, model: Any) -> int:
        """Number of image channels."""

    @abstractmethod
    def features(self, model: Any, images: Tensor) -> Tensor:
        """All tokens after the last block and its norm, (B, N, C)."""

    def check_grid(self, model: Any) -> None:  # noqa: B027 - most can know it
        """Raises a `MergeMixError` where nobody can know the model's grid of patches."""

    def pool(self, model: Any) -> nn.Module | None:
        """The module that pools patch tokens by attention, or None."""
        return None

    def pool_attention(self, model: Any, x: Tensor) -> Tensor:
        """Attention of the pool over the patches, (B, N - prefix tokens) float32, for its input (B, N, C)."""
        raise unusable("layer", f"{type(model).__name__} has no attention pool")
