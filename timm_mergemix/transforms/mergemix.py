"""MergeMix as a torchvision batch transform."""

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
    multi-label. They come back as (B, num_classes) float rows. A ``tv_tensors.Mask`` of class numbers (B, H, W) or
    (B, 1, H, W), or of class shares (B, num_classes, H, W), is mixed by the same pixel mask; labels are then optional.
    Boxes are refused, because the visible parts of an object are scattered.

    Args:
        encoder: The model that is read, often the model in training. It is not registered as a submodule.
        alpha: The share of patches kept is lam ~ Beta(alpha, alpha); ``mergemix_alpha`` of `timm_mergemix.MergeMix`.
        num_classes: Number of classes. None takes that of the encoder's own head for integer labels.
        labels_getter: As in ``v2.MixUp``: a function of the inputs that returns the labels among them. ``"default"``
            takes the second input. In a dictionary it takes the key ``"labels"``, or else one that contains "label".
        prob: Probability of mixing. `timm_mergemix.MergeMix` says more about this and the arguments below.
        mode: Which images share a lam: those of a ``"batch"``, of a ``"pair"``, or none (``"elem"``).
        ratio_mode: How the mixing ratio is measured: ``"area"``, ``"attention"`` or ``"gaussian"``.
        select: Whose saliency decides which patches are kept: the image's ``"own"``, or that of ``"both"``.
        saliency_r: Token merging in the saliency pass.
        saliency_scale: Size of the images in the saliency pass, as a share of their full size.
        layer: The block or feature map that is read.
        divide: Whether a merged token's attention is divided among its patches.
        label_smoothing: From 0 to 1. The default is none, as in ``v2.MixUp``.
        multi_label: Whether labels are rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W). They come back as soft masks (B, mask_classes, H, W). With
            None they stay class numbers.
        ignore_index: With ``mask_classes``, the class of pixels that do not count; None if every pixel counts.
        image_mean: Mean by which the images were normalised.
        image_std: Standard deviation by which they were normalised.
        encoder_mean: Mean by which the encoder expects its images to be normalised.
        encoder_std: Standard deviation that the encoder expects.
        generator: Source of all randomness; None uses torch's global one.
        validate: Whether values are also checked on an accelerator, which costs a synchronisation.

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
