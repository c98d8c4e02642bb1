"""Mixup and CutMix, with the parameters and distributions of timm's."""

from __future__ import annotations

import torch

from ..mix.blends import BlendFunction, CutMixBlend, MixupBlend
from ..mix.config import MixConfig
from ..mix.mixer import Mixer, drop_unused

__all__ = ["Mixup", "timm_blends"]


def timm_blends(config: MixConfig) -> list[tuple[BlendFunction, float]]:
    """Mixup and CutMix with the probabilities that timm's Mixup gives them; empty where both are off."""
    # As timm does: the limits replace the distribution.
    cutmix_alpha = config.cutmix_alpha if config.cutmix_minmax is None else 1.0
    mixup = MixupBlend(config.mixup_alpha)
    cutmix = CutMixBlend(cutmix_alpha, config.cutmix_minmax, config.correct_lam)
    if mixup.alpha > 0 and cutmix.alpha > 0:
        return [(cutmix, config.switch_prob), (mixup, 1 - config.switch_prob)]
    return [(blend, 1.0) for blend in (mixup, cutmix) if blend.alpha > 0]


class Mixup(Mixer):
    """Mixup and CutMix with the parameters and distributions of ``timm.data.Mixup``, and this library's invariants.

    Odd and single-image batches work, the torch seed governs, and nothing is changed in place.

    Args:
        mixup_alpha: lambda ~ Beta(alpha, alpha); 0 switches Mixup off.
        cutmix_alpha: The same for CutMix; 0 switches CutMix off.
        cutmix_minmax: Limits of the box's sides as shares of the image; replaces ``cutmix_alpha``.
        prob: Probability of mixing at all.
        switch_prob: Probability of CutMix where both are on.
        mode: See `Mixer`.
        correct_lam: Whether CutMix's ratio is measured on the box after it was clipped to the image.
        label_smoothing: See `Mixer`.
        num_classes: Number of classes.
        multi_label: See `Mixer`.
        generator: See `Mixer`.
        validate: See `Mixer`.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: tuple[float, float] | None = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int | None = 1000,
        multi_label: bool = False,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        config = MixConfig.of(locals())
        super().__init__(
            drop_unused(timm_blends(config)),
            **config.shared(),
            num_classes=num_classes,
            generator=generator,
            validate=validate,
        )
