"""Images of a batch -> images as a saliency encoder wants them: normalised its way, at its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import read_statistics
from ..errors import MergeMixError, Words, wrong
from ..merge.families import Backbone
from ..merge.find.feature_maps import FeatureMaps
from .config import SaliencyConfig

__all__ = ["EncoderInput"]

Statistics = tuple[Tensor, Tensor]


class EncoderInput:
    """Converts images for an encoder.

    Args:
        backbone: The encoder.
        config: By which statistics images are normalised, and how the encoder wants them.
        holder: The module whose timm data config it is, where that is a classifier around the encoder.

    Raises:
        MergeMixError: If the statistics do not fit the encoder, or are needed and missing.
    """

    def __init__(
        self, backbone: Backbone | FeatureMaps, config: SaliencyConfig, holder: nn.Module | None = None
    ) -> None:
        self.backbone = backbone
        self.channels = backbone.in_channels
        self.image = _statistics("image", config.image_mean, config.image_std, self.channels)
        self.expected = _statistics("encoder", config.encoder_mean, config.encoder_std, self.channels)
        if self.expected is None:
            self.expected = _configured(backbone.model if holder is None else holder, self.channels)
        if self.image is not None:
            self._expected("image_mean, image_std")

    def __call__(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, H, W), float or uint8 -> (B, C, *size) in the encoder's dtype."""
        return resize(self._normalise(images), size)

    def check(self, images: Tensor) -> None:
        """Raises if the encoder cannot take the images."""
        wanted = f"images of shape (B, {self.channels}, H, W), float or uint8"
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != self.channels:
            raise wrong("images", images, wanted)
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise wrong("images", images, wanted)
        if images.dtype == torch.uint8:
            self._expected("uint8 images")
        device = self.backbone.parameter.device
        if images.device != device:
            raise wrong("images", Words(f"images on {images.device}"), f"images on {device}, like the encoder")

    def _normalise(self, images: Tensor) -> Tensor:
        dtype = self.backbone.parameter.dtype
        if images.dtype == torch.uint8:
            mean, std = self._statistics_on(images.device, "uint8 images")
            return ((images.float() / 255 - column(mean)) / column(std)).to(dtype)
        if self.image is not None:
            mean, std = self._statistics_on(images.device, "image_mean, image_std")
            pixels = images.float() * column(self.image[1]) + column(self.image[0])
            return ((pixels - column(mean)) / column(std)).to(dtype)
        return images.to(dtype)

    def _statistics_on(self, device: torch.device, why: str) -> Statistics:
        """The statistics of the encoder, on the device of the images from then on: each copy to it costs a wait."""
        expected = self._expected(why)
        if expected[0].device != device:
            # In this order: another thread that finds the second one moved uses both.
            self.image = None if self.image is None else _moved(self.image, device)
            self.expected = expected = _moved(expected, device)
        return expected

    def _expected(self, why: str) -> Statistics:
        if self.expected is None:
            raise wrong(
                "encoder_mean, encoder_std",
                None,
                f"{self.channels} numbers each (needed for {why}; the encoder's data config has none that fit "
                "its channels)",
            )
        return self.expected


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) at another size, by antialiased bilinear interpolation; the same tensor if they have it."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images.float(), size=size, mode="bilinear", antialias=True).to(images.dtype)


def column(values: Tensor) -> Tensor:
    """One number per channel, shaped for images (B, C, H, W)."""
    return values.view(-1, 1, 1)


def _moved(statistics: Statistics, device: torch.device) -> Statistics:
    mean, std = statistics
    return mean.to(device), std.to(device)


def _statistics(
    name: str, mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> Statistics | None:
    wanted = f"a mean and a positive std for each of the {channels} channels (or one for all), or neither"
    return read_statistics(f"{name}_mean, {name}_std", mean, std, (channels,), wanted)


def _configured(holder: nn.Module, channels: int) -> Statistics | None:
    """The statistics of a timm data config, where they fit the channels."""
    configs = (getattr(module, "pretrained_cfg", None) for module in holder.modules())
    config: dict[str, Any] = next(filter(None, configs), {})
    try:
        return _statistics("encoder", config.get("mean"), config.get("std"), channels)
    except MergeMixError:  # a model made for 1 channel keeps the config of its 3 channels
        return None
