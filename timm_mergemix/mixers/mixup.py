"""Mixup and CutMix, with the parameters and distributions of timm's."""

from __future__ import annotations

import torch

from ..errors import check_number
from ..mix.blends import BlendFunction, CutMixBlend, MixupBlend
from ..mix.mixer import Mixer, drop_unused

__all__ = ["Mixup", "timm_blends"]


def timm_blends(
    mixup_alpha: float,
    cutmix_alpha: float,
    cutmix_minmax: tuple[float, float] | None,
    switch_prob: float,
    correct_lam: bool,
) -> list[tuple[BlendFunction, float]]:
    """Mixup and CutMix with the probabilities that timm's Mixup gives them; empty where both are off."""
    check_number("switch_prob", switch_prob, 0, 1)
    check_number("cutmix_alpha", cutmix_alpha, 0)
    if cutmix_minmax is not None:
        cutmix_alpha = 1.0  # as timm does: the limits replace the distribution
    mixup, cutmix = MixupBlend(mixup_alpha), CutMixBlend(cutmix_alpha, cutmix_minmax, correct_lam)
    if mixup_alpha > 0 and cutmix_alpha > 0:
        return [(cutmix, switch_prob), (mixup, 1 - switch_prob)]
    return [(blend, 1.0) for blend in (mixup, cutmix) if blend.alpha > 0]


class Mixup(Mixer):
    """Mixup and CutMix with the parameters and distributions of ``timm.data.Mixup``, and this library's invariants.

    Odd and single-image batches work, the torch seed governs, and nothing is changed in place.

    Args:
        mixup_alpha: lambda ~ Beta(alpha, alpha); 0 switches Mixup off.
        cutmix_alpha: Likewise for CutMix.
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
        blends = drop_unused(timm_blends(mixup_alpha, cutmix_alpha, cutmix_minmax, switch_prob, correct_lam))
        super().__init__(
            blends,
            num_classes=num_classes,
            prob=prob,
            mode=mode,
            label_smoothing=label_smoothing,
            multi_label=multi_label,
            generator=generator,
            validate=validate,
        )
