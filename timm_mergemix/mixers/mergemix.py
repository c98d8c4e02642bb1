"""The MergeMix batch transform: the MergeMix blend on a model's saliency, with Mixup and CutMix beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..merge.schedule import R
from ..mix.config import MixConfig, find_recipe
from ..mix.mergemix import MergeMixBlend
from ..mix.mixer import Mixer, drop_unused
from ..saliency.config import SaliencyConfig
from ..saliency.passes import SaliencyPass
from .mixup import timm_blends

__all__ = ["MergeMix"]


class MergeMix(Mixer):
    """The MergeMix batch transform, with Mixup and CutMix beside it. Call it as timm's Mixup.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Args:
        encoder: A supported vision transformer whose attention is read: the model in training, or another one. It is
            used as it is at each call; nothing about it is changed.
        num_classes: Number of classes.
        mergemix_alpha: lambda ~ Beta(alpha, alpha) is the share of patches kept; 0 switches MergeMix off.
        mixup_alpha: As in timm's Mixup; 0 switches Mixup off.
        cutmix_alpha: As in timm's Mixup; 0 switches CutMix off.
        cutmix_minmax: As in timm's Mixup.
        prob: Probability of mixing at all.
        mergemix_prob: Of the mixed, the probability of MergeMix; the rest is Mixup or CutMix, or not mixed where both
            are off.
        switch_prob: Of that rest, the probability of CutMix where Mixup is on too.
        mode: See `Mixer`.
        correct_lam: As in timm's Mixup, for CutMix.
        ratio_mode: ``"area"``, the share of pixels; ``"attention"``, the share of kept saliency; ``"gaussian"``, the
            published re-scaling, which is noise and here for comparison.
        select: Which patches are kept: ``"own"``, the original's most salient, as published; ``"both"``, those by which
            most of both images' saliency is seen, the objective of Puzzle Mix (Kim et al., ICML 2020).
        saliency_r: Token merging in the saliency pass, every form that `patch` takes; None keeps what is in force.
        saliency_scale: Share of the images' height and width at which the pass sees them; see `saliency_map`.
        layer: See `saliency_map`.
        divide: See `saliency_map`.
        image_mean: Mean by which the batch was normalised, one number per channel, for an encoder that was trained with
            other statistics. None: as the encoder wants them.
        image_std: Standard deviation by which the batch was normalised, given with ``image_mean``.
        encoder_mean: Mean of the images on which the encoder was trained. None: from its timm data config.
        encoder_std: Standard deviation of those images, given with ``encoder_mean``.
        label_smoothing: See `Mixer`.
        multi_label: See `Mixer`.
        generator: See `Mixer`.
        validate: See `Mixer`.

    Raises:
        MergeMixError: If the encoder is not supported or an argument is out of its range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int | None = 1000,
        *,
        mergemix_alpha: float = 1.0,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        cutmix_minmax: tuple[float, float] | None = None,
        prob: float = 1.0,
        mergemix_prob: float = 0.5,
        switch_prob: float = 0.5,
        mode: str = "batch",
        correct_lam: bool = True,
        ratio_mode: str = "area",
        select: str = "own",
        saliency_r: R | None = ("keep", 0.5),
        saliency_scale: float = 1.0,
        layer: int | str | None = None,
        divide: bool = True,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
        label_smoothing: float = 0.1,
        multi_label: bool = False,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        options = locals()
        config = MixConfig.of(options)
        self.saliency = SaliencyPass(encoder, SaliencyConfig.of(options))
        share = mergemix_prob if mergemix_alpha > 0 else 0.0
        others = ((blend, (1 - share) * weight) for blend, weight in timm_blends(config))
        super().__init__(
            drop_unused([(MergeMixBlend(self.saliency, config), share), *others]),
            **config.shared(),
            num_classes=num_classes,
            generator=generator,
            validate=validate,
        )

    @staticmethod
    def recipe(name: str) -> dict[str, Any]:
        """Arguments by kind of training: ``MergeMix(model, 100, **MergeMix.recipe("finetune"))``.

        By default every batch is mixed: half of them by MergeMix, the others by Mixup or CutMix. By the recipes half of
        the batches are mixed: half of those by MergeMix, half by Mixup; for fine-tuning the ratio is that of attention.
        In the comparison of docs/results.md fewer mixes are as accurate and better calibrated, and Mixup hardens
        against noise.

        Args:
            name: ``"scratch"``: few images, many epochs, random weights. ``"finetune"``: pretrained weights.

        Returns:
            The options in which the recipe differs from the defaults: a new dictionary, yours to change.

        Raises:
            MergeMixError: If there is no such recipe.
        """
        return find_recipe(name)

    def check(self, images: Tensor, labels: Tensor | None, saliency: Tensor | None = None) -> None:
        """Raises if a batch does not fit the mixer, or the encoder where it may be asked."""
        super().check(images, labels, saliency)
        if (
            saliency is None
            and self.mixup_enabled
            and any(isinstance(blend, MergeMixBlend) for blend, _ in self.blends)
        ):
            self.saliency.check(images)
            # What fits one size need not fit another; an encoder of one size was asked when the mixer was made.
            if self.saliency.takes_any_size:
                self.saliency.check_size(*images.shape[-2:])
