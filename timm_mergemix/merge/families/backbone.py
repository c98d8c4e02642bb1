"""The supported model inside whatever a user passes, with all that is known of it: found once, then handed on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...errors import check_int, check_tensor, unusable, wrong
from ..blocks import MergingBlock
from ..settings import Layout
from ..state import Merging
from ..view import eval_view

__all__ = ["Backbone"]


class Backbone(ABC):
    """A model that merges or can merge. `find_backbone` makes it; there is a subclass for each family of models.

    Args:
        model: The model itself, below every wrapper.

    Attributes:
        name: What `supported` calls the family.
        models: The model classes of the family, and the merging class of each.
        wrappers: Classes that hold such a model as ``encoder`` and pass it their images as they are.
        model: As given.
        blocks: Its blocks, in the order in which they run.
        reading: How a language model reads the tokens after one of the blocks, or None; see `merge.vlm`.
    """

    name: ClassVar[str]
    models: ClassVar[dict[type[nn.Module], type[nn.Module]]]
    wrappers: ClassVar[tuple[type[nn.Module], ...]] = ()

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.blocks: tuple[Any, ...] = self._blocks_now()
        self.reading: Any = None
        self._asked: tuple[int, int] | None = None

    @classmethod
    def knows(cls, model: nn.Module) -> bool:
        """Whether a model is of the family, patched or not."""
        return type(model) in cls.models or type(model) in cls.models.values()

    def holds(self) -> bool:
        """Whether the model still is what was found: the same blocks, of a class that is still known.

        No search: the list of blocks is compared with the one that was found. Whether the model is patched does not
        count, since `state` tells that at any time.
        """
        same = self.knows(self.model) and self._blocks_now() == self.blocks
        return same and not any(isinstance(block, MergingBlock) and block.is_overridden() for block in self.blocks)

    @property
    def state(self) -> Merging | None:
        """What the blocks of a patched model share; None if the model is not patched."""
        first = self.blocks[0]
        return first.merging if isinstance(first, MergingBlock) else None

    @property
    def layout(self) -> Layout:
        """The tokens that never merge: those that a patched model was patched with, else what `protect` was told."""
        state = self.state
        if state is not None:
            return state.layout
        own = self.own_layout
        return own if self._asked is None else replace(own, prefix_tokens=self._asked[0], suffix_tokens=self._asked[1])

    @property
    def own_layout(self) -> Layout:
        """The tokens that are patches when the model's own forward runs, which adds none to its own."""
        size = self.only_size
        most_patches = None if size is None else self.count_patches(*size)
        return Layout(self.prefix_tokens, 0, self.has_class_token, most_patches)

    def protect(self, prefix_tokens: int | None, suffix_tokens: int | None) -> None:
        """Says how many tokens a patch protects, where a user's own forward adds some to the model's.

        Args:
            prefix_tokens: Leading tokens, the model's own counted. None takes the model's own.
            suffix_tokens: Trailing tokens. None takes none.

        Raises:
            MergeMixError: If they are not integers >= 0, or the model is already patched with other ones.
        """
        before = self.layout
        given = (
            ("prefix_tokens", prefix_tokens, before.prefix_tokens),
            ("suffix_tokens", suffix_tokens, before.suffix_tokens),
        )
        for name, value, now in given:
            if value is not None:
                check_int(name, value, 0)
                if self.state is not None and value != now:
                    raise wrong(name, value, f"{now} or None: the model is patched with {now}; unpatch it first")
        if self.state is not None:
            return
        own = self.prefix_tokens
        if prefix_tokens is not None and prefix_tokens < own:
            raise wrong("prefix_tokens", prefix_tokens, f"at least {own}, which {type(self.model).__name__} itself has")
        self._asked = own if prefix_tokens is None else prefix_tokens, suffix_tokens or 0

    def _blocks_now(self) -> tuple[Any, ...]:
        return tuple(unwrapped(block) for block in self.find_blocks())

    @property
    def idle_blocks(self) -> int:
        """Number of blocks at the end that merge nothing, since their outputs are not read."""
        return 0 if self.reading is None else self.reading.unread_blocks(self)

    @property
    def checkpoints(self) -> bool:
        """Whether the blocks of a patched model recompute their activations in the backward pass."""
        return self.state is not None and self.state.checkpointing

    @property
    def parameter(self) -> Tensor:
        """The first parameter, whose device and dtype are those of the model."""
        return next(self.model.parameters())

    @abstractmethod
    def find_blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks as they are now, in the order in which they run."""

    @property
    @abstractmethod
    def prefix_tokens(self) -> int:
        """Number of leading tokens that are not patches, in the model itself; for what never merges see `layout`."""

    @property
    @abstractmethod
    def has_class_token(self) -> bool:
        """Whether the first token is a class token."""

    @property
    @abstractmethod
    def in_channels(self) -> int:
        """Number of image channels."""

    @property
    @abstractmethod
    def default_size(self) -> tuple[int, int] | None:
        """Height and width in pixels that the model was made for, or None."""

    @property
    def only_size(self) -> tuple[int, int] | None:
        """Height and width in pixels at which the model sees all images; None if it sees them at their own."""
        size = self.default_size
        return size if size is not None and self.input_size(1, 1) == size else None

    @abstractmethod
    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels at which the model can see an image of ``height`` x ``width``."""

    @abstractmethod
    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for an image of a size that `input_size` gave."""

    def count_patches(self, height: int, width: int) -> int:
        """Number of patches for an image of a size that `input_size` gave."""
        rows, columns = self.grid_size(height, width)
        return rows * columns

    def check_grid(self) -> None:  # noqa: B027 - most families know it
        """Raises a `MergeMixError` if the model's grid of patches is unknown."""

    def check_images(self, images: Tensor) -> None:
        """Raises unless images (B, C, H, W) can go into the model as they are."""
        check_tensor("images", images, ("B", self.in_channels, "H", "W"), "float", like=self.parameter)
        device = images.device.type
        casts = device != "meta" and torch.is_autocast_enabled(device)
        if images.dtype != self.parameter.dtype and not casts:
            raise wrong("images", images, f"{self.parameter.dtype}, the dtype of the model")
        height, width = images.shape[-2:]
        if not images.numel() or self.input_size(height, width) != (height, width):
            size = self.default_size if self.only_size is not None else self.input_size(max(height, 1), max(width, 1))
            raise wrong("images", images, f"images of {size} pixels, or another size that the model takes")

    def view(self) -> Backbone:
        """The same of a view of the model in eval mode, which may be patched and changed by itself."""
        return type(self)(eval_view(self.model))

    def allow_any_size(self) -> None:  # noqa: B027 - others take all sizes, or cannot
        """Makes a model of one image size take those that `input_size` then returns, where it can; done to views."""

    def run(self, images: Tensor) -> Any:
        """The model's own forward, without hooks or compiled code around it, on images of a size that it takes."""
        return self.model.forward(images)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """All tokens after the last block and its norm, (B, N, C)."""

    @property
    def pool(self) -> nn.Module | None:
        """The module that pools patch tokens by attention, or None."""
        return None

    def pool_attention(self, x: Tensor) -> Tensor:
        """Attention of the pool over the patches, (B, N - prefix tokens) float32, for its input (B, N, C)."""
        raise unusable("layer", f"{type(self.model).__name__} has no attention pool")


def unwrapped(block: Any) -> Any:
    """The merging block inside what has been put around it since the patch, such as FSDP; else what came."""
    part = block
    while not isinstance(part, MergingBlock):
        children = list(part.children())
        inside = [child for child in children if isinstance(child, MergingBlock)] or children
        if len(inside) != 1:
            return block
        part = inside[0]
    return part
