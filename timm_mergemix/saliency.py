"""Class-token attention on the patch grid: the one bridge from mixing to merging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import MergeMixError, wrong
from .merge.adapters import Family
from .merge.find import find_model
from .merge.patch import merging, merging_state
from .merge.record import AttentionReader, StopForward
from .merge.schedule import R
from .mix.check import check_images

__all__ = ["SaliencyPass", "saliency_map"]


def saliency_map(
    encoder: nn.Module, x: Tensor, layer: int | str | None = None, r: R | None = None, *, divide: bool = True
) -> Tensor:
    """How much attention each patch gets from the class token (Jin et al., "MergeMix", arXiv 2510.23479).

    A short pass: eval behaviour, no gradient, and only the blocks up to the one whose attention is read. Without a
    class token the attention that a patch receives from all patches is read.

    Args:
        encoder: A supported vision transformer, patched or not. Nothing about it is changed.
        x: (B, C, H, W) images as the encoder wants them, or uint8 images, which are normalised by the statistics of the
            encoder's timm data config. Another size than the encoder's is resized for the pass.
        layer: Index of the block to read, negative from the end; ``"pool"`` for the attention of an attention-pooling
            head. None reads the last but one, which ranks objects over background best.
        r: Token merging in the pass, every form that `patch` takes. None keeps what is in force.
        divide: False copies a merged token's attention whole to each of its patches, as published code does.

    Returns:
        (B, h, w) float32 on the patch grid, each map sums to 1.

    Raises:
        MergeMixError: If the encoder is not supported, the images do not fit it, or there is no such layer.
    """
    saliency = SaliencyPass(encoder, layer=layer, r=r, divide=divide)
    check_images(x)
    return saliency(x)


class SaliencyPass:
    """A saliency pass with its settings; call it on images.

    Args:
        encoder: See `saliency_map`.
        layer: See `saliency_map`.
        r: See `saliency_map`.
        divide: See `saliency_map`.
        image_mean: Mean by which float images were normalised, one number per channel. None: as the encoder wants them.
        image_std: Standard deviation, likewise.
        encoder_mean: Mean of the images on which the encoder was trained. None: from its timm data config.
        encoder_std: Standard deviation, likewise.

    Raises:
        MergeMixError: If the encoder is not supported or a setting does not fit it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        layer: int | str | None = None,
        r: R | None = None,
        divide: bool = True,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
    ) -> None:
        found: tuple[Any, Family] = find_model(encoder, "encoder")
        self.encoder, self.family = found
        self.layer = _check_layer(layer, len(self.family.find_blocks(self.encoder)))
        if self.layer == "pool" and self.family.pool(self.encoder) is None:
            raise wrong("layer", layer, "the index of a block, since the encoder has no attention pool")
        with merging(self.encoder, r):  # an r that does not fit is an error now, not in the middle of a training
            self.r = r
        self.divide = divide
        config = getattr(self.encoder, "pretrained_cfg", None) or {}
        self.image = _statistics("image", image_mean, image_std)
        self.expected = _statistics("encoder", encoder_mean, encoder_std)
        if self.expected is None and "mean" in config and "std" in config:
            self.expected = _statistics("encoder", config["mean"], config["std"])

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the saliency (B, h, w) of images (B, C, H, W)."""
        encoder, family = self.encoder, self.family
        self._check(images)
        size = family.input_size(encoder, *images.shape[-2:])
        with torch.no_grad(), _evaluating(encoder), _uncached_autocast(images.device.type):
            x = resize(self._normalise(images), size)
            attention = self._pool_attention(x) if self.layer == "pool" else self._block_attention(x)
        saliency = attention / attention.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return saliency.unflatten(1, family.grid_size(encoder, *size))

    def _block_attention(self, x: Tensor) -> Tensor:
        reader = AttentionReader(int(self.layer))
        with merging(self.encoder, self.r), merging_state(self.encoder).during(observer=reader):
            _run_until_stopped(self.encoder, x)
        if reader.row is None:
            raise MergeMixError(f"layer: block {self.layer} did not run in the encoder's forward pass")
        return reader.row.on_patches(self.divide)

    def _pool_attention(self, x: Tensor) -> Tensor:
        read: list[Tensor] = []

        def read_and_stop(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            read.append(self.family.pool_attention(self.encoder, args[0]))
            raise StopForward

        pool = self.family.pool(self.encoder)
        with merging(self.encoder, self.r), pool.register_forward_pre_hook(read_and_stop):  # type: ignore[union-attr]
            _run_until_stopped(self.encoder, x)
        return read[0]

    def _check(self, images: Tensor) -> None:
        channels = self.family.in_channels(self.encoder)
        wanted = f"images of shape (B, {channels}, H, W), float or uint8"
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels:
            raise wrong("images", images, wanted)
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise wrong("images", images, wanted)
        device = _parameter(self.encoder).device
        if images.device != device:
            raise MergeMixError(f"images: got them on {images.device}, wanted them on {device}, where the encoder is")

    def _normalise(self, images: Tensor) -> Tensor:
        dtype = _parameter(self.encoder).dtype
        if images.dtype == torch.uint8:
            mean, std = self._expected(images.shape[1], "uint8 images")
            return ((images.float() / 255 - column(mean, images)) / column(std, images)).to(dtype)
        if self.image is not None:
            mean, std = self._expected(images.shape[1], "image_mean")
            pixels = images.float() * column(self.image[1], images) + column(self.image[0], images)
            return ((pixels - column(mean, images)) / column(std, images)).to(dtype)
        return images.to(dtype)

    def _expected(self, channels: int, why: str) -> tuple[Tensor, Tensor]:
        if self.expected is None or len(self.expected[0]) not in (1, channels):
            raise MergeMixError(
                f"encoder_mean, encoder_std: got none that fit {channels} channels, wanted {channels} numbers each "
                f"(needed for {why}; the encoder's data config has none)"
            )
        return self.expected


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) at another size, by antialiased bilinear interpolation; the same tensor if they have it."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images.float(), size=size, mode="bilinear", antialias=True).to(images.dtype)


def column(values: Tensor, images: Tensor) -> Tensor:
    """One number per channel, shaped and placed for images (B, C, H, W)."""
    return values.to(images.device).view(-1, 1, 1)


def _parameter(encoder: nn.Module) -> Tensor:
    return next(encoder.parameters())


def _check_layer(layer: int | str | None, depth: int) -> int | str:
    if layer is None:
        return max(depth - 2, 0)
    if layer == "pool":
        return layer
    if isinstance(layer, bool) or not isinstance(layer, int) or not -depth <= layer < depth:
        raise wrong("layer", layer, f"an index from {-depth} to {depth - 1}, 'pool' or None")
    return layer % depth


def _statistics(name: str, mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Tensor, Tensor] | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != len(std) or not all(s > 0 for s in std):
        raise wrong(f"{name}_mean, {name}_std", (mean, std), "a mean and a positive std for each channel, or neither")
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _run_until_stopped(encoder: nn.Module, x: Tensor) -> None:
    # forward, not __call__: neither a compiled call nor the user's hooks have a part in this pass.
    with suppress(StopForward):
        encoder.forward(x)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval behaviour; each module's own mode comes back, also where they differ."""
    modes = [(m, m.training) for m in module.modules()]
    for m, _ in modes:
        m.training = False
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


def _uncached_autocast(device_type: str) -> torch.autocast:
    """The caller's autocast without its cache: a weight cast here, without gradient, must not serve a training."""
    return torch.autocast(
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=False,
    )
