"""MergeMix as a batch transform of torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import check_positive
from ..merge.schedule import R
from ..mix.config import MixConfig
from ..mixers.mergemix import MergeMix as Mixer
from ..saliency.config import SaliencyConfig
from .base import BatchTransform

__all__ = ["MergeMix"]


class MergeMix(BatchTransform):
    """Applies MergeMix to a batch of images and labels, beside ``v2.MixUp`` and ``v2.CutMix``.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Images are (B, C, H, W), float or uint8. Labels are (B,) integers, or (B, num_classes) rows, which may be
    multi-label; they come back as (B, num_classes) float rows. A ``tv_tensors.Mask`` of class numbers (B, H, W) or
    (B, 1, H, W), or of shares of classes (B, num_classes, H, W), is mixed by the same pixel mask; labels need not be
    there beside it. Boxes are refused: what is left of an object is scattered.

    Args:
        encoder: See `timm_mergemix.MergeMix`. It is not registered as a submodule.
        alpha: lambda ~ Beta(alpha, alpha) is the share of patches kept; ``mergemix_alpha`` of `timm_mergemix.MergeMix`.
        num_classes: Number of classes. None takes that of the encoder's own head for integer labels.
        labels_getter: As in ``v2.MixUp``: a function of the inputs that returns the labels among them. ``"default"``
            takes the second input, or of a dictionary what is called ``"labels"``, else what has "label" in its name.
        prob: Probability of mixing; see `timm_mergemix.MergeMix`, also for the arguments below.
        mode: What shares lambda: the batch, a pair, or nothing.
        ratio_mode: How the ratio is measured.
        select: Whose saliency decides which patches are kept.
        saliency_r: Token merging in the saliency pass.
        saliency_scale: Size of the images in it, as a share of theirs.
        layer: The block whose attention is read.
        divide: Whether a merged token's attention is shared out among its patches.
        label_smoothing: In [0, 1]; none by default, as in ``v2.MixUp``.
        multi_label: Labels are rows of independent classes.
        mask_classes: See `CutMix`.
        ignore_index: See `Mixup`.
        image_mean: Mean of the normalised images.
        image_std: Standard deviation, likewise.
        encoder_mean: Mean of the encoder's images.
        encoder_std: Standard deviation, likewise.
        generator: Where randomness comes from.
        validate: Whether values are checked on an accelerator too.

    Raises:
        MergeMixError: If the encoder is not supported, an argument is out of its range, or the batch does not fit.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str = "default",
        prob: float = 1.0,
        mode: str = "batch",
        ratio_mode: str = "area",
        select: str = "own",
        saliency_r: R | None = ("keep", 0.5),
        saliency_scale: float = 1.0,
        layer: int | str | None = None,
        divide: bool = True,
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        mask_classes: int | None = None,
        ignore_index: int | None = 255,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        known = MixConfig.options() | SaliencyConfig.options()
        options = {name: value for name, value in locals().items() if name in known}
        check_positive("alpha", alpha)
        alone: dict[str, Any] = {"mergemix_alpha": alpha, "mergemix_prob": 1.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0}
        mixer = Mixer(encoder, num_classes, **options, **alone, generator=generator, validate=validate)
        super().__init__(mixer, labels_getter, mask_classes, ignore_index)
        self.alpha = alpha
