"""Class-token attention on the patch grid: the one bridge from mixing to merging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_images
from ..errors import unusable, wrong
from ..merge.autocast import uncached_autocast
from ..merge.families import Family
from ..merge.find.search import bare, find_model
from ..merge.model import MergingModel
from ..merge.patch import merge_info, merging, merging_state
from ..merge.record import AttentionReader, StopForward
from ..merge.schedule import R
from .input import EncoderInput
from .modes import evaluating
from .size import PassSize

__all__ = ["SaliencyPass", "saliency_map"]


def saliency_map(
    encoder: nn.Module,
    x: Tensor,
    layer: int | str | None = None,
    r: R | None = None,
    *,
    divide: bool = True,
    scale: float = 1.0,
) -> Tensor:
    """How much attention each patch gets from the class token (Jin et al., "MergeMix", arXiv 2510.23479).

    A short pass: eval behaviour, no gradient, proportional attention, and only the blocks up to the one whose attention
    is read. Without a class token the attention that a patch receives from all patches is read.

    Args:
        encoder: A supported vision transformer, patched or not. Nothing about it is changed.
        x: (B, C, H, W) images as the encoder wants them, or uint8 images, which are normalised by the statistics of the
            encoder's timm data config. Another size than the encoder's is resized for the pass.
        layer: Index of the block to read, negative from the end; ``"pool"`` for the attention of an attention-pooling
            head. None reads the last but one, which ranks objects over background best.
        r: Token merging in the pass, every form that `patch` takes. None keeps what is in force.
        divide: False copies a merged token's attention whole to each of its patches, as published code does.
        scale: The pass sees images at this share of the height and width that it else would, rounded up to whole
            patches, and its map is interpolated to the full grid. Half the size has a quarter of the patches. Taken by
            plain timm ViTs, which resample their position embedding, and by models made for all sizes.

    Returns:
        (B, h, w) float32 on the patch grid, each map sums to 1.

    Raises:
        MergeMixError: If the encoder is not supported, the images do not fit it, or there is no such layer.
    """
    saliency = SaliencyPass(encoder, layer=layer, r=r, divide=divide, scale=scale)
    check_images(x)
    return saliency(x)


class SaliencyPass:
    """A saliency pass with its settings; call it on images.

    Args:
        encoder: See `saliency_map`.
        layer: See `saliency_map`.
        r: See `saliency_map`.
        divide: See `saliency_map`.
        scale: See `saliency_map`.
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
        scale: float = 1.0,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
    ) -> None:
        found: tuple[Any, Family] = find_model(encoder, "encoder")
        self.encoder, self.family = found
        if bare(encoder) is not self.encoder:
            held = f"{type(self.encoder).__name__} inside it; what it does beside would be left out of the pass"
            raise wrong("encoder", encoder, f"the {held}")
        self.layer = _check_layer(layer, len(self.family.find_blocks(self.encoder)))
        if self.layer == "pool" and self.family.pool(self.encoder) is None:
            raise wrong("layer", layer, "the index of a block, since the encoder has no attention pool")
        self.r = r
        self.divide = divide
        self.size = PassSize(self.encoder, self.family, scale)
        size = self.family.only_size(self.encoder)
        self.takes_any_size = size is None
        with self._merging():  # an r that does not fit is an error now, not in the middle of a training
            if size is not None:
                self.check_size(*size)
        self.input = EncoderInput(
            self.encoder, self.family, image_mean, image_std, encoder_mean, encoder_std, holder=encoder
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the saliency (B, h, w) of images (B, C, H, W)."""
        self.check(images)
        with torch.no_grad(), evaluating(self.encoder), self._keeping_rng(), uncached_autocast(images.device.type):
            return self.size.to_full_grid(self._pass(images), *images.shape[-2:])

    def _pass(self, images: Tensor) -> Tensor:
        """The saliency on the grid of the pass."""
        x = self.input(images, self.size.of(*images.shape[-2:]))
        with self.size.allowed():
            with self._reading(stop=True) as read:
                _run_until_stopped(self.encoder, x)
            return self._on_grid(read(), x)

    @contextmanager
    def reading(self, images: Tensor) -> Iterator[Callable[[], Tensor]]:
        """Reads along while somebody runs the encoder on images for another reason, such as training on them.

        That pass keeps its own behaviour and its own merging; what is read has no gradient.

        Args:
            images: (B, C, H, W), as they go into the encoder.

        Yields:
            A function that returns the saliency (B, h, w) once the pass has run.

        Raises:
            MergeMixError: If the pass would not show the attention of all patches.
        """
        reason = self.reason_against_reading()
        if reason is not None:
            raise unusable("saliency", f"the attention of a training pass cannot be read: {reason}")
        with self._reading(stop=False) as read:
            yield lambda: self._on_grid(read(), images)

    def reason_against_reading(self) -> str | None:
        """Why the attention of a training pass cannot stand in for a pass of its own, or None if it can."""
        if getattr(getattr(self.encoder, "patch_drop", None), "prob", 0.0) > 0:
            return "the model drops patches in training"
        if isinstance(self.encoder, MergingModel) and not self.encoder.merging.config.prop_attn:
            return "the model merges without proportional attention"
        return None

    def _on_grid(self, attention: Tensor, x: Tensor) -> Tensor:
        # Where prefix tokens get all of it, no patch is preferred.
        attention = attention.where(attention.sum(dim=1, keepdim=True) > 0, 1.0)
        saliency = attention / attention.sum(dim=1, keepdim=True)
        return saliency.unflatten(1, self.family.grid_size(self.encoder, *x.shape[-2:]))

    def _merging(self) -> AbstractContextManager[nn.Module]:
        # A merged token's attention is the sum over its members only if attention is proportional.
        return merging(self.encoder, self.r, prop_attn=True)

    def _keeping_rng(self) -> AbstractContextManager[None]:
        # Merging at random is the only thing in the pass that draws.
        if not isinstance(self.encoder, MergingModel) or self.encoder.merging.config.matching != "random":
            return nullcontext()
        device = next(self.encoder.parameters()).device
        return torch.random.fork_rng([device] if device.type == "cuda" else [])

    @contextmanager
    def _reading(self, stop: bool) -> Iterator[Callable[[], Tensor]]:
        """Reads the attention of the pass that runs inside, and ends it there if asked."""
        reader = AttentionReader(None if self.layer == "pool" else int(self.layer), stop)
        pooled: list[Tensor] = []

        def read_pool(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            # The casts of a pass that trains must have gradients, not those of this one.
            with torch.no_grad(), uncached_autocast(args[0].device.type):
                pooled.append(self.family.pool_attention(self.encoder, args[0]))
            if stop:
                raise StopForward

        def attention() -> Tensor:
            if reader.row is None and not pooled:
                read = "the attention pool" if self.layer == "pool" else f"block {self.layer}"
                raise unusable("layer", f"{read} did not run in the encoder's forward pass")
            if reader.row is None:
                return pooled[-1]
            found = reader.row.on_patches(self.divide)
            self._check_left(reader.row.values.shape[1] - reader.row.prefix_tokens, found.shape[1], r)
            return found

        with ExitStack() as stack:
            # A pass that stops is one of its own, with its own merging; then also sums of attention must be such.
            stack.enter_context(self._merging() if stop else merging(self.encoder))
            state = merging_state(self.encoder)
            r = state.config.schedule.r
            stack.enter_context(state.during(observer=reader))
            if self.layer == "pool":
                pool: Any = self.family.pool(self.encoder)
                stack.callback(pool.register_forward_pre_hook(read_pool).remove)
            yield attention

    def check_size(self, height: int, width: int) -> None:
        """Raises if images of that size have too few patches for the merging in the pass."""
        size = self.size.of(height, width)
        with self._merging(), self.size.allowed():
            info = merge_info(self.encoder, size)
        before = info.tokens[-1 if self.layer == "pool" else int(self.layer)]
        self._check_left(before - info.prefix_tokens, info.tokens[0] - info.prefix_tokens, info.r)

    def _check_left(self, left: int, patches: int, r: Any) -> None:
        """Raises if merging leaves nothing to tell one patch from another by."""
        if left < 2 <= patches:
            read = "the attention pool" if self.layer == "pool" else f"block {self.layer}"
            raise wrong("r", r, f"one that leaves more than one of {patches} patches before {read}")

    def check(self, images: Tensor) -> None:
        """Raises if the encoder cannot take the images."""
        self.input.check(images)


def _check_layer(layer: Any, depth: int) -> int | str:
    if layer is None:
        return max(depth - 2, 0)
    if layer == "pool":
        return layer
    if isinstance(layer, bool) or not isinstance(layer, Integral) or not -depth <= int(layer) < depth:
        raise wrong("layer", layer, f"an index from {-depth} to {depth - 1}, 'pool' or None")
    return int(layer) % depth


def _run_until_stopped(encoder: nn.Module, x: Tensor) -> None:
    # forward, not __call__: a compiled call of the whole model and hooks on it have no part in this pass.
    with suppress(StopForward):
        encoder.forward(x)
