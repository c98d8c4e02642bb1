"""Mixup, CutMix and ResizeMix as batch transforms of torchvision, which also mix masks and boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import named, wrong
from ..mix.config import MixConfig
from ..mixers.mixup import Mixup as MixupMixer
from ..mixers.resizemix import ResizeMix as ResizeMixer
from .base import BatchTransform

__all__ = ["CutMix", "Mixup", "ResizeMix"]


class Mixup(BatchTransform):
    """Mixup of a batch of images with their labels, and with soft masks.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412). ``v2.MixUp``
    takes no masks.

    Args:
        alpha: Mixup draws lam ~ Beta(alpha, alpha).
        num_classes: Number of classes; may be None where labels are rows, or there are none.
        labels_getter: Finds the labels among the inputs, as in ``v2.MixUp``: a function, or ``"default"``.
        prob: Probability of mixing.
        mode: What shares lam: ``"batch"``, ``"pair"`` (an image and its partner), or ``"elem"`` (nothing).
        label_smoothing: In [0, 1]; none by default, as in ``v2.MixUp``.
        multi_label: Labels are rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W), which then come back as soft ones (B, mask_classes, H, W).
            None refuses them, since pixels are blended, and a blend of class numbers would mean nothing.
        ignore_index: Class of pixels of such masks that do not count; None: there are none.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values are checked on an accelerator too.

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
        _check_alpha("mixup_alpha", alpha)
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
    (arXiv 1905.04899). ``v2.CutMix`` takes neither masks nor boxes. Boxes are ``tv_tensors.BoundingBoxes``, one set for
    each image in a dictionary with their labels; they are clipped to what is still seen.

    Args:
        alpha: The pasted box covers 1 - lam of the image, with lam ~ Beta(alpha, alpha).
        cutmix_minmax: Limits of the box's sides as shares of the image; they replace ``alpha``.
        correct_lam: Whether the ratio is measured on the box after it was clipped to the image.
        num_classes: Number of classes; may be None where labels are rows.
        labels_getter: Finds the labels among the inputs, as in ``v2.MixUp``: a function, or ``"default"``.
        prob: Probability that a batch is mixed at all.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        label_smoothing: Label smoothing of the targets, in [0, 1]; none by default, as in ``v2.MixUp``.
        multi_label: Whether labels are (B, num_classes) rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W), which then come back as soft ones, as those of `Mixup` do;
            None leaves them as they are.
        ignore_index: Class of the pixels of such masks that do not count; None if there are none.
        min_visible: Boxes of which a smaller share is still seen are dropped.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values (NaN, label range) are also checked on an accelerator, which costs a synchronisation.

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
        _check_alpha("cutmix_alpha", alpha)
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
    """ResizeMix of a batch of images with their labels, masks and boxes; the whole partner is pasted, resized.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).
    Masks are resized by nearest neighbour.

    Args:
        scale: Limits of the pasted image's side, as a share of the image's.
        num_classes: Number of classes; may be None where labels are rows.
        labels_getter: Finds the labels among the inputs, as in ``v2.MixUp``: a function, or ``"default"``.
        prob: Probability that a batch is mixed at all.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        label_smoothing: Label smoothing of the targets, in [0, 1]; none by default, as in ``v2.MixUp``.
        multi_label: Whether labels are (B, num_classes) rows of independent classes.
        mask_classes: Number of classes of masks (B, H, W), which then come back as soft masks (B, mask_classes, H, W);
            None leaves them as they are.
        ignore_index: Class of the pixels of such masks that do not count; None if there are none.
        min_visible: Boxes of which a smaller share is still seen are dropped.
        generator: Source of all randomness; torch's default generator if None.
        validate: Whether values (NaN, label range) are also checked on an accelerator, which costs a synchronisation.

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


def _check_alpha(name: str, alpha: float) -> None:
    with named(**{name: "alpha"}):
        MixConfig.check({name: alpha})
    if alpha == 0:
        raise wrong("alpha", alpha, "a number > 0")
