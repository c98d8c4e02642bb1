"""Mixup, CutMix and ResizeMix as torchvision batch transforms that also mix masks and boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import check_positive
from ..mixers.mixup import Mixup as MixupMixer
from ..mixers.resizemix import ResizeMix as ResizeMixer
from .base import BatchTransform

__all__ = ["CutMix", "Mixup", "ResizeMix"]


class Mixup(BatchTransform):
    """Mixup of a batch of images with their labels, and with soft masks.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412). ``v2.MixUp`` does not
    take masks.

    Args:
        alpha: lam ~ Beta(alpha, alpha).
        num_classes: Number of classes; may be None if labels are rows, or if there are none.
        labels_getter: A function of the inputs that returns the labels among them, or ``"default"``; see `MergeMix`.
        prob: Probability of mixing.
        mode: Which images share a lam: those of a ``"batch"``, of a ``"pair"``, or none (``"elem"``).
        label_smoothing: From 0 to 1. The default is none, as in ``v2.MixUp``.
        multi_label: Whether labels are rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W). They come back as soft masks (B, mask_classes, H, W). With
            None such masks are refused: Mixup blends pixels, and a blend of class numbers means nothing.
        ignore_index: With ``mask_classes``, the class of pixels that do not count; None if every pixel counts.
        generator: Source of all randomness; None uses torch's global one.
        validate: Whether values are also checked on an accelerator, which costs a synchronisation.

    Raises:
        MergeMixError: If an argument is out of its range, or the batch does not fit.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str = "default",
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        mask_classes: int | None = None,
        ignore_index: int | None = 255,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        check_positive("alpha", alpha)
        mixer = MixupMixer(
            alpha,
            0.0,
            num_classes=num_classes,
            prob=prob,
            mode=mode,
            label_smoothing=label_smoothing,
            multi_label=multi_label,
            generator=generator,
            validate=validate,
        )
        super().__init__(mixer, labels_getter, mask_classes, ignore_index)
        self.alpha = alpha


class CutMix(BatchTransform):
    """CutMix of a batch of images with their labels, masks and boxes.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019
    (arXiv 1905.04899). ``v2.CutMix`` takes neither masks nor boxes. Boxes are ``tv_tensors.BoundingBoxes``. Each image
    has its own, in a dictionary that also holds their labels. They are clipped to what is still visible.

    Args:
        alpha: The pasted box covers 1 - lam of the image, lam ~ Beta(alpha, alpha).
        cutmix_minmax: Smallest and largest side of the box as shares of the image's; used in place of ``alpha``.
        correct_lam: Whether the ratio is measured after the box was clipped to the image.
        num_classes: Number of classes; may be None if labels are rows, or if there are none.
        labels_getter: A function of the inputs that returns the labels among them, or ``"default"``; see `MergeMix`.
        prob: Probability of mixing.
        mode: Which images share a lam: those of a ``"batch"``, of a ``"pair"``, or none (``"elem"``).
        label_smoothing: From 0 to 1. The default is none, as in ``v2.MixUp``.
        multi_label: Whether labels are rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W). They come back as soft masks (B, mask_classes, H, W). With
            None they stay class numbers.
        ignore_index: With ``mask_classes``, the class of pixels that do not count; None if every pixel counts.
        min_visible: A box is dropped if a smaller share of it than this is still visible.
        generator: Source of all randomness; None uses torch's global one.
        validate: Whether values are also checked on an accelerator, which costs a synchronisation.

    Raises:
        MergeMixError: If an argument is out of its range, or the batch does not fit.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        cutmix_minmax: tuple[float, float] | None = None,
        correct_lam: bool = True,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str = "default",
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        mask_classes: int | None = None,
        ignore_index: int | None = 255,
        min_visible: float = 0.1,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        check_positive("alpha", alpha)
        mixer = MixupMixer(
            0.0,
            alpha,
            cutmix_minmax,
            correct_lam=correct_lam,
            num_classes=num_classes,
            prob=prob,
            mode=mode,
            label_smoothing=label_smoothing,
            multi_label=multi_label,
            generator=generator,
            validate=validate,
        )
        super().__init__(mixer, labels_getter, mask_classes, ignore_index, min_visible)
        self.alpha = alpha


class ResizeMix(BatchTransform):
    """ResizeMix of a batch of images with their labels, masks and boxes: the whole partner is resized and pasted.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).
    Masks are resized by nearest neighbour.

    Args:
        scale: Smallest and largest side of the pasted image, as shares of the image's side.
        num_classes: Number of classes; may be None if labels are rows, or if there are none.
        labels_getter: A function of the inputs that returns the labels among them, or ``"default"``; see `MergeMix`.
        prob: Probability of mixing.
        mode: Which images share a lam: those of a ``"batch"``, of a ``"pair"``, or none (``"elem"``).
        label_smoothing: From 0 to 1. The default is none, as in ``v2.MixUp``.
        multi_label: Whether labels are rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W). They come back as soft masks (B, mask_classes, H, W). With
            None they stay class numbers.
        ignore_index: With ``mask_classes``, the class of pixels that do not count; None if every pixel counts.
        min_visible: A box is dropped if a smaller share of it than this is still visible.
        generator: Source of all randomness; None uses torch's global one.
        validate: Whether values are also checked on an accelerator, which costs a synchronisation.

    Raises:
        MergeMixError: If an argument is out of its range, or the batch does not fit.
    """

    def __init__(
        self,
        *,
        scale: tuple[float, float] = (0.1, 0.8),
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str = "default",
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.0,
        multi_label: bool = False,
        mask_classes: int | None = None,
        ignore_index: int | None = 255,
        min_visible: float = 0.1,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        mixer = ResizeMixer(
            scale,
            num_classes=num_classes,
            prob=prob,
            mode=mode,
            label_smoothing=label_smoothing,
            multi_label=multi_label,
            generator=generator,
            validate=validate,
        )
        super().__init__(mixer, labels_getter, mask_classes, ignore_index, min_visible)
