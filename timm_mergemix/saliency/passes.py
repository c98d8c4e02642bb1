"""A short pass of an encoder over images, which yields attention on the patch grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import named, unusable, wrong
from ..merge.attach import attach_view, patched, planned
from ..merge.autocast import uncached_autocast
from ..merge.families import Backbone
from ..merge.find.search import bare, find_backbone
from ..merge.info import planned_tokens
from ..merge.record import StopForward
from ..merge.settings import Settings
from .config import SaliencyConfig
from .input import EncoderInput
from .maps import shares
from .reading import AttentionReading, Layer, check_left
from .size import PassSize

__all__ = ["SaliencyPass"]


class SaliencyPass:
    """A saliency pass with its settings; call it on images.

    The encoder is searched once. Where its blocks have been replaced since, it is searched again.

    Args:
        encoder: See `saliency_map`.
        config: Settings; None for the defaults.

    Raises:
        MergeMixError: If the encoder is not supported or a setting does not fit it.
    """

    def __init__(self, encoder: nn.Module, config: SaliencyConfig | None = None) -> None:
        self.config = SaliencyConfig() if config is None else config
        self._given = encoder
        config = self.config
        self._backbone = backbone = find_backbone(encoder, "encoder")
        if bare(encoder) is not backbone.model:
            held = type(backbone.model).__name__
            raise wrong("encoder", encoder, f"the {held} inside it, since a saliency pass runs nothing but that")
        self.layer = _index_of(config.layer, len(backbone.blocks))
        if self.layer == "pool" and backbone.pool is None:
            raise wrong("layer", config.layer, "the index of a block, since the encoder has no attention pool")
        self.size = PassSize(backbone, config.saliency_scale)
        size = backbone.only_size
        self.takes_any_size = size is None
        # An r that does not fit is an error now, not in the middle of a training.
        self._settings()
        if size is not None:
            self._check_size(*size)
        self.input = EncoderInput(backbone, config, holder=encoder)

    @property
    def backbone(self) -> Backbone:
        """The model whose attention is read."""
        self._refresh()
        return self._backbone

    def _refresh(self) -> None:
        if bare(self._given) is not self._backbone.model or not self._backbone.holds():
            # Made in full first: where that fails, this pass still knows that it has to search.
            vars(self).update(vars(SaliencyPass(self._given, self.config)))

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the saliency (B, h, w) of images (B, C, H, W)."""
        self.check(images)
        with torch.no_grad(), uncached_autocast(images.device.type):
            return self.size.to_full_grid(self._pass(images), *images.shape[-2:])

    def _pass(self, images: Tensor) -> Tensor:
        """The saliency on the grid of the pass, which runs on a view: other passes of the encoder see nothing of it."""
        view = self.size.view()
        height, width = images.shape[-2:]
        x = self.input(images, self.size.of(height, width, view))
        state = attach_view(view, self._settings())
        reading = self._reading(view, state.settings, stop=True)
        state.observer, state.generator = reading.reader, self._generator(state.settings)
        with reading, suppress(StopForward):
            # forward, not __call__: a compiled call of the whole model and hooks on it have no part in this pass.
            view.run(x)
        return _on_grid(view, reading.attention(), x)

    @contextmanager
    def reading(self, images: Tensor) -> Iterator[Callable[[], Tensor]]:
        """Reads the attention while the caller runs the encoder on images for another reason, such as training.

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
        backbone = self.backbone
        with patched(backbone) as state:
            reading = self._reading(backbone, state.settings_here, stop=False)
            with state.scope(observer=reading.reader), reading:
                yield lambda: _on_grid(backbone, reading.attention(), images)

    def reason_against_reading(self) -> str | None:
        """Why the attention of a training pass cannot stand in for a pass of its own, or None if it can."""
        backbone = self.backbone
        if getattr(getattr(backbone.model, "patch_drop", None), "prob", 0.0) > 0:
            return "the model drops patches in training"
        if backbone.state is not None and not backbone.state.settings_here.prop_attn:
            return "the model merges without proportional attention"
        return None

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the saliency of images of ``height`` x ``width``, before they have been seen."""
        self._refresh()
        return self.size.full_grid(height, width)

    def check_size(self, height: int, width: int) -> None:
        """Raises if images of that size have too few patches for the merging in the pass."""
        self._refresh()
        self._check_size(height, width)

    def check(self, images: Tensor) -> None:
        """Raises if the encoder cannot take the images."""
        self._refresh()
        self.input.check(images)

    def _check_size(self, height: int, width: int) -> None:
        settings, view = self._settings(), self.size.view()
        with named(r="saliency_r"):
            tokens = planned_tokens(view, settings, self.size.of(height, width, view))
        before, prefix = tokens[-1 if self.layer == "pool" else int(self.layer)], self._backbone.prefix_tokens
        check_left(before - prefix, tokens[0] - prefix, settings.schedule.r, self.layer)

    def _settings(self) -> Settings:
        # A merged token's attention is the sum over its members only if attention is proportional.
        with named(r="saliency_r"):
            return planned(self._backbone, r=self.config.saliency_r, prop_attn=True)

    def _reading(self, backbone: Backbone, settings: Settings, stop: bool) -> AttentionReading:
        return AttentionReading(backbone, settings.schedule.r, self.layer, self.config.divide, stop)

    def _generator(self, settings: Settings) -> torch.Generator | None:
        """What merging at random draws from: it begins where torch's global generator is, and leaves that alone."""
        if settings.matching != "random":
            return None
        device = self._backbone.parameter.device
        on_cuda = device.type == "cuda"
        generator = torch.Generator(device if on_cuda else "cpu")
        return generator.set_state(torch.cuda.get_rng_state(device) if on_cuda else torch.get_rng_state())


def _on_grid(backbone: Backbone, attention: Tensor, x: Tensor) -> Tensor:
    """Attention (B, N) on the patches of images ``x`` -> (B, h, w), each map sums to 1."""
    return shares(attention).unflatten(1, backbone.grid_size(*x.shape[-2:]))


def _index_of(layer: Any, depth: int) -> Layer:
    """The index of the block, from 0; ``"pool"`` stays."""
    if layer is None:
        return max(depth - 2, 0)
    if layer == "pool":
        return "pool"
    if not -depth <= int(layer) < depth:
        raise wrong("layer", layer, f"an index from {-depth} to {depth - 1}, 'pool' or None")
    return int(layer) % depth
