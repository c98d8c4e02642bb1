"""A short pass of a ConvNet or a hierarchical transformer over images, which yields a map of its features."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import MergeMixError, Words, named, unusable, wrong
from ..merge.autocast import uncached_autocast
from ..merge.find.feature_maps import FeatureMaps
from ..merge.schedule import parse, resolve
from .config import SaliencyConfig
from .input import EncoderInput
from .maps import shares, spatial_variance, to_grid, with_merged_cells

__all__ = ["FeaturePass"]

# In each step at most half of the cells merge, so that a sixteenth of them can be left.
STEPS = 4


class RefusedError(MergeMixError):
    """An encoder does not take images of a size."""


class Seen(NamedTuple):
    """How images of one size are seen; each is (height, width).

    Attributes:
        size: In the pass, in pixels.
        cells: Of the feature map in the pass.
        grid: Of the feature map at full size, which is that of the saliency.
    """

    size: tuple[int, int]
    cells: tuple[int, int]
    grid: tuple[int, int]


class FeaturePass:
    """The saliency of a model whose tokens cannot merge, read from one of its feature maps; call it on images.

    This extends MergeMix (Jin et al., ICLR 2026, arXiv 2510.23479), which reads the attention of a vision transformer.
    What a cell of the feature map adds to the spatial variance of the features stands in for its attention, and similar
    cells merge by the same matching as tokens.

    Args:
        encoder: As the user gave it.
        backbone: What was found in it.
        config: Settings. ``layer`` is the index of the feature map; ``saliency_r`` counts four steps as blocks.

    Raises:
        MergeMixError: If a setting does not fit the encoder.
    """

    takes_any_size = True  # as far as is known before a size was tried

    def __init__(self, encoder: nn.Module, backbone: FeatureMaps, config: SaliencyConfig) -> None:
        self.backbone = backbone
        self.config = config
        self.layer = _index_of(config.layer, backbone)
        with named(r="saliency_r"):
            self._schedule = parse(0 if config.saliency_r is None else config.saliency_r, depth=STEPS)
        self.input = EncoderInput(backbone, config, holder=encoder)
        self._seen: dict[tuple[int, int], Seen] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the saliency (B, h, w) of images (B, C, H, W)."""
        self.check(images)
        height, width = images.shape[-2:]
        seen = self._at(height, width)
        with torch.no_grad(), uncached_autocast(images.device.type):
            features = self.backbone.view().run(self.input(images, seen.size), self.layer)
            cells = features.flatten(2).transpose(1, 2)
            values = with_merged_cells(spatial_variance(cells), cells, self._merges(seen), self.config.divide)
            saliency = shares(values).unflatten(1, seen.cells)
            return saliency if seen.cells == seen.grid else to_grid(saliency, seen.grid)

    def reading(self, images: Tensor) -> AbstractContextManager[Callable[[], Tensor]]:
        """Raises a `MergeMixError`, since a training pass cannot stand in for this one."""
        raise unusable("saliency", f"it cannot be read from a training pass: {self.reason_against_reading()}")

    def reason_against_reading(self) -> str:
        """Why a training pass cannot stand in for a pass of its own."""
        return "the mixer reads a feature map, and in training that is not the one of evaluation"

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the saliency of images of ``height`` x ``width``, before they have been seen."""
        return self._at(height, width).grid

    def check_size(self, height: int, width: int) -> None:
        """Raises if the encoder does not take images of that size, or has too few cells for them."""
        self._merges(self._at(height, width))

    def check(self, images: Tensor) -> None:
        """Raises if the encoder cannot take the images."""
        self.input.check(images)

    def _merges(self, seen: Seen) -> tuple[int, ...]:
        cells = math.prod(seen.cells)
        with named(r="saliency_r"):
            merges = resolve(self._schedule, cells)
        if cells - sum(merges) < 2:
            raise wrong("saliency_r", self._schedule.r, f"an r that leaves more than one of {cells} cells")
        return merges

    def _at(self, height: int, width: int) -> Seen:
        if (height, width) not in self._seen:
            self._seen[height, width] = self._look(height, width)
        return self._seen[height, width]

    def _look(self, height: int, width: int) -> Seen:
        """Tries the size of the images, and where the encoder refuses that, the one that it was made for."""
        full, default = (height, width), self.backbone.default_shape[1:]
        try:
            grid = self._try(full)
        except RefusedError:
            if full == default:
                raise
            full, grid = default, self._try(default)
        scale = self.config.saliency_scale
        if scale == 1:
            return Seen(full, grid, grid)
        size = math.ceil(round(full[0] * scale, 6)), math.ceil(round(full[1] * scale, 6))
        try:
            return Seen(size, self._try(size), grid)
        except MergeMixError as error:
            raise unusable("saliency_scale", error) from error

    def _try(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the feature map of images of a size: one is run, since models do not say."""
        parameter = self.backbone.parameter
        blank = torch.zeros(1, self.backbone.in_channels, *size, dtype=parameter.dtype, device=parameter.device)
        text = f"images of {size[0]} x {size[1]} pixels"
        try:
            with torch.no_grad(), uncached_autocast(parameter.device.type):
                rows, columns = self.backbone.view().run(blank, self.layer).shape[-2:]
        except Exception as error:  # whatever a model's code raises
            name = type(self.backbone.model).__name__
            reason = f"{name} does not take {text}: {type(error).__name__}: {error}".splitlines()[0]
            raise RefusedError(reason, argument="images") from error
        if rows * columns < 2:
            got = Words(f"{text}, of which feature map {self.layer} is a single cell")
            raise wrong("images", got, "larger images, or the layer of a finer feature map")
        return rows, columns


def _index_of(layer: int | str | None, backbone: FeatureMaps) -> int:
    """The index of the feature map, from 0."""
    if layer is None:
        return backbone.default_index
    maps = len(backbone.strides)
    if isinstance(layer, str) or not -maps <= int(layer) < maps:
        raise wrong("layer", layer, f"the index of a feature map, from {-maps} to {maps - 1}, or None")
    return int(layer) % maps
