"""Mixup and CutMix, with the parameters and distributions of timm's."""

from __future__ import annotations

import functools

import torch

from ..mix.blends import BlendFunction, CutMixBlend, MixupBlend
from ..mix.config import MixConfig
from ..mix.mixer import Mixer, drop_unused

__all__ = ["Mixup", "cutmix", "timm_blends"]


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
        mixup_alpha: Mixup draws lam ~ Beta(alpha, alpha); 0 switches Mixup off.
        cutmix_alpha: CutMix draws lam ~ Beta(alpha, alpha); 0 switches CutMix off.
        cutmix_minmax: Limits of the box's sides as shares of the image; replaces ``cutmix_alpha``.
        prob: Probability of mixing at all.
        switch_prob: Probability of CutMix where both are on.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        correct_lam: Whether CutMix's ratio is measured on the box after it was clipped to the image.
        label_smoothing: Label smoothing of the targets, in [0, 1], as in timm's Mixup.
        num_classes: Number of classes.
        multi_label: Whether labels are (B, num_classes) rows of independent classes.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values (NaN, label range) are also checked on an accelerator, which costs a synchronisation.

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


cutmix = functools.partial(Mixup, mixup_alpha=0.0, cutmix_alpha=1.0)
