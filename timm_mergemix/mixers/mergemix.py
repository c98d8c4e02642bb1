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
from ..saliency.choose import saliency_pass
from ..saliency.config import SaliencyConfig
from .classes import count_classes
from .mixup import timm_blends

__all__ = ["MergeMix"]


class MergeMix(Mixer):
    """The MergeMix batch transform, with Mixup and CutMix beside it. It is called like timm's Mixup.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Args:
        encoder: The model that is read: the one in training, or another one. Of a supported vision transformer it is
            the attention, of other timm models, such as ConvNets, a feature map (see `saliency_map`). It is used as it
            is at each call; nothing about it is changed.
        num_classes: Number of classes. None takes that of the encoder's own head for integer labels, and any number of
            columns for rows. An encoder with another head than the model in training needs the number.
        mergemix_alpha: The share of patches that are kept is lam ~ Beta(alpha, alpha); 0 switches MergeMix off.
        mixup_alpha: As in timm's Mixup; 0 switches Mixup off.
        cutmix_alpha: As in timm's Mixup; 0 switches CutMix off.
        cutmix_minmax: As in timm's Mixup.
        prob: Probability of mixing at all.
        mergemix_prob: Probability of MergeMix among the batches that are mixed; the others are mixed by Mixup or
            CutMix, or not at all where both are off.
        switch_prob: Probability of CutMix among the other batches, where Mixup is on too.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        correct_lam: As in timm's Mixup, for CutMix.
        ratio_mode: ``"area"``, the share of pixels; ``"attention"``, the share of kept saliency; ``"gaussian"``, the
            published random re-scaling, which is here for comparison.
        select: Which patches are kept: ``"own"``, the original's most salient, as published; ``"both"``, those by which
            most of both images' saliency is seen, the objective of Puzzle Mix (Kim et al., ICML 2020).
        saliency_r: Token merging in the saliency pass, every form that `patch` takes; None keeps what is in force.
        saliency_scale: Share of the images' height and width at which the pass sees them; see `saliency_map`.
        layer: Index of the block or feature map that is read, negative from the end; ``"pool"`` for an attention pool;
            None for the second-to-last.
        divide: Whether a merged token's attention is divided among its patches; False gives each patch all of it.
        image_mean: Mean by which the batch was normalised, one number per channel, for an encoder that was trained with
            other statistics. None: as the encoder wants them.
        image_std: Standard deviation by which the batch was normalised, one number per channel.
        encoder_mean: Mean of the images on which the encoder was trained. None: from its timm data config.
        encoder_std: Standard deviation of the images on which the encoder was trained.
        label_smoothing: Label smoothing of the targets, in [0, 1], as in timm's Mixup.
        multi_label: Whether labels are (B, num_classes) rows of independent classes.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values (NaN, label range) are also checked on an accelerator, which costs a synchronisation.

    Raises:
        MergeMixError: If the encoder is not supported or an argument is out of its range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int | None = None,
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
        self.saliency = saliency_pass(encoder, SaliencyConfig.of(options))
        self.takes_any_rows = num_classes is None
        share = mergemix_prob if mergemix_alpha > 0 else 0.0
        others = ((blend, (1 - share) * weight) for blend, weight in timm_blends(config))
        super().__init__(
            drop_unused([(MergeMixBlend(self.saliency, config), share), *others]),
            **config.shared(),
            num_classes=count_classes(encoder) if num_classes is None else num_classes,
            generator=generator,
            validate=validate,
        )

    @staticmethod
    def recipe(name: str) -> dict[str, Any]:
        """Arguments by kind of training: ``MergeMix(model, 100, **MergeMix.recipe("finetune"))``.

        By default every batch is mixed: half of them by MergeMix, the others by Mixup or CutMix. With a recipe,
        half of the batches are mixed: half of those by MergeMix, half by Mixup. For fine-tuning the ratio is that of
        attention. In the comparison of docs/results.md, mixing half of the batches is as accurate as mixing all and
        better calibrated, and Mixup makes models more robust to noise.

        Args:
            name: ``"scratch"``: few images, many epochs, random weights. ``"finetune"``: pretrained weights.
                ``"paper"``: the published settings, for comparison; the published step trains on a batch of Mixup too.

        Returns:
            The options that differ from the defaults, as a new dictionary that you may change.

        Raises:
            MergeMixError: If there is no such recipe.
        """
        return find_recipe(name)

    def classes_for(self, labels: Tensor | None) -> int | None:
        """The number of classes; the number of the encoder's own head is used for integer labels only."""
        rows = labels is not None and labels.ndim == 2
        return None if rows and self.takes_any_rows else self.num_classes

    def check(self, images: Tensor, labels: Tensor | None, saliency: Tensor | None = None) -> None:
        """Raises if a batch does not fit the mixer, or the encoder where MergeMix may be drawn."""
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
