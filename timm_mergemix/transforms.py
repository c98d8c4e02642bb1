"""MergeMix as a torchvision.transforms.v2 batch transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

# The base class of v2.MixUp and v2.CutMix: it finds the labels, and calls make_params once and transform per input.
from torchvision.transforms.v2._augment import _BaseMixUpCutMix, is_pure_tensor

from .errors import MergeMixError, Words, check_number, describe, unusable, wrong
from .merge.schedule import R
from .mixers.mergemix import MergeMix as Mixer

__all__ = ["MergeMix"]


class MergeMix(_BaseMixUpCutMix):
    """Applies MergeMix to a batch of images and labels, beside ``v2.MixUp`` and ``v2.CutMix``.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Images are (B, C, H, W), float or uint8. Labels are (B,) integers, or (B, num_classes) rows, which may be
    multi-label; they come back as (B, num_classes) float rows.

    Args:
        encoder: See `timm_mergemix.MergeMix`. It is not registered as a submodule.
        alpha: lambda ~ Beta(alpha, alpha) is the share of patches kept.
        num_classes: Number of classes; may be None where labels are rows.
        labels_getter: As in ``v2.MixUp``.
        prob: Probability of mixing; see `timm_mergemix.MergeMix`, also for the arguments below.
        mode: What shares lambda: the batch, a pair, or nothing.
        ratio_mode: How the ratio is measured.
        select: Whose saliency decides which patches are kept.
        saliency_r: Token merging in the saliency pass.
        saliency_scale: Size of the images in it, as a share of theirs.
        layer: The block whose attention is read.
        divide: Whether a merged token's attention is shared out among its patches.
        label_smoothing: In [0, 1].
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
        labels_getter: Any = "default",
        prob: float = 1.0,
        mode: str = "batch",
        ratio_mode: str = "area",
        select: str = "own",
        saliency_r: R | None = ("keep", 0.5),
        saliency_scale: float = 1.0,
        layer: int | str | None = None,
        divide: bool = True,
        label_smoothing: float = 0.0,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        encoder_mean: Sequence[float] | None = None,
        encoder_std: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        check_number("alpha", alpha, 0)
        if alpha == 0:
            raise wrong("alpha", alpha, "a number > 0")
        try:
            super().__init__(alpha=alpha, num_classes=num_classes, labels_getter=labels_getter)
        except ValueError as error:
            raise unusable("labels_getter", error) from None
        self._mixer = Mixer(
            encoder,
            num_classes,
            mergemix_alpha=alpha,
            mergemix_prob=1.0,
            mixup_alpha=0.0,
            cutmix_alpha=0.0,
            prob=prob,
            mode=mode,
            ratio_mode=ratio_mode,
            select=select,
            saliency_r=saliency_r,
            saliency_scale=saliency_scale,
            layer=layer,
            divide=divide,
            label_smoothing=label_smoothing,
            image_mean=image_mean,
            image_std=image_std,
            encoder_mean=encoder_mean,
            encoder_std=encoder_std,
            generator=generator,
            validate=validate,
        )

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"alpha={self.alpha}, num_classes={self.num_classes}, mode={self._mixer.mode!r}"

    def forward(self, *inputs: Any) -> Any:
        """As ``v2.MixUp``: the same structure with images and labels mixed."""
        try:
            return super().forward(*inputs)
        except MergeMixError:
            raise
        except ValueError as error:  # torchvision's own checks
            raise unusable("inputs", error) from error
        except StopIteration:  # from torchvision's search for the labels
            raise wrong("labels_getter", Words("labels that are not in the inputs"), "one of the inputs") from None

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Finds the batch to mix. It is mixed at the first `transform`, where its labels are known."""
        images = [x for x in flat_inputs if isinstance(x, tv_tensors.Image) or is_pure_tensor(x)]
        if len(images) != 1 or len(flat_inputs) != 1:
            raise wrong("inputs", [describe(x) for x in flat_inputs], "one batch of images beside the labels")
        return {"images": images[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The mixed images in place of the images, soft targets in place of the labels."""
        if params["images"] is params["labels"]:  # torchvision takes the first plain tensor for the images
            raise wrong("inputs", inpt, "images before labels, or images wrapped by tv_tensors.Image")
        if "mixed" not in params:
            params["mixed"] = self._mixer.mix(params["images"].as_subclass(Tensor), params["labels"])
        if inpt is params["labels"]:
            return params["mixed"].targets
        images = params["mixed"].images
        return tv_tensors.wrap(images, like=inpt) if isinstance(inpt, tv_tensors.Image) else images
