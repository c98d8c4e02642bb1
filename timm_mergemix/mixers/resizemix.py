"""ResizeMix."""

from __future__ import annotations

import torch

from ..mix.blends import ResizeMixBlend
from ..mix.config import MixConfig
from ..mix.mixer import Mixer

__all__ = ["ResizeMix"]


class ResizeMix(Mixer):
    """ResizeMix: the whole partner, resized, pasted at a random place.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).

    Args:
        scale: Limits of the pasted image's side, as a share of the image's.
        num_classes: See `Mixer`.
        prob: See `Mixer`.
        mode: See `Mixer`.
        label_smoothing: See `Mixer`.
        multi_label: See `Mixer`.
        generator: See `Mixer`.
        validate: See `Mixer`.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.1, 0.8),
        num_classes: int | None = 1000,
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.1,
        multi_label: bool = False,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        config = MixConfig.of(locals())
        super().__init__(
            [(ResizeMixBlend(scale), 1.0)],
            **config.shared(),
            num_classes=num_classes,
            generator=generator,
            validate=validate,
        )
