"""The soft-target loss of a mix."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_classes, check_rows
from ..errors import Words, check_bool, check_choice, check_number, check_same_device, check_tensor, is_dense, wrong
from .batch import MixedBatch
from .targets import dense_labels, smooth_targets

__all__ = ["SoftTargetLoss", "weighed"]


class SoftTargetLoss(nn.Module):
    """Cross entropy, or binary cross entropy, with soft targets; computed in float32 at least.

    From a `MixedBatch` the cross entropy is ``ratio * CE(y_i) + (1 - ratio) * CE(y_j)`` with the batch's own label
    smoothing; it equals the dense form and never builds the (B, num_classes) target.

    Args:
        smoothing: Label smoothing in [0, 1] of integer labels. Dense targets and batches are smoothed already.
        bce: Binary cross entropy per class, as in Wightman et al., "ResNet strikes back", 2021 (arXiv 2110.00476).
        reduction: ``"mean"`` or ``"sum"`` over images, or ``"none"``.
        target_threshold: With ``bce``, targets above it become 1 and the others 0.
        sum_classes: With ``bce``, an image's loss is the sum over classes instead of the mean.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        smoothing: float = 0.0,
        bce: bool = False,
        reduction: str = "mean",
        target_threshold: float | None = None,
        sum_classes: bool = False,
    ) -> None:
        super().__init__()
        check_number("smoothing", smoothing, 0, 1)
        check_bool("bce", bce)
        check_bool("sum_classes", sum_classes)
        check_choice("reduction", reduction, ("mean", "sum", "none"))
        if target_threshold is not None:
            check_number("target_threshold", target_threshold, 0, 1)
        if not bce and (target_threshold is not None or sum_classes):
            raise wrong("bce", bce, "True, since target_threshold or sum_classes is set")
        self.smoothing = smoothing
        self.bce = bce
        self.reduction = reduction
        self.target_threshold = target_threshold
        self.sum_classes = sum_classes

    def extra_repr(self) -> str:
        """What ``print(loss)`` shows."""
        return f"smoothing={self.smoothing}, bce={self.bce}, reduction={self.reduction}"

    def forward(self, logits: Tensor, target: Tensor | MixedBatch) -> Tensor:
        """Computes the loss.

        Args:
            logits: (B, num_classes) float.
            target: (B, num_classes) soft targets, (B,) integer labels, or the `MixedBatch` of the images.

        Returns:
            A scalar, or (B,) with ``reduction="none"``; float32, or float64 where the logits are.

        Raises:
            MergeMixError: If the shapes do not fit.
        """
        self._check(logits, target)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = self._binary(logits, target) if self.bce else self._categorical(logits, target)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def _categorical(self, logits: Tensor, target: Tensor | MixedBatch) -> Tensor:
        logp = logits.log_softmax(dim=-1)
        if isinstance(target, MixedBatch) and target.labels.ndim == 1:
            labels = target.labels.long()  # torch 2.6 cannot index wide unsigned integers
            own, partner = _picked(logp, labels), _picked(logp, labels[target.index])
            picked = weighed(target.ratio, own) + weighed(1 - target.ratio, partner)
            return _smoothed(picked, logp, target.smoothing)
        if isinstance(target, Tensor) and target.ndim == 1:
            return _smoothed(_picked(logp, target), logp, self.smoothing)
        return -weighed(self._dense(logits, target), logp).sum(dim=-1)

    def _binary(self, logits: Tensor, target: Tensor | MixedBatch) -> Tensor:
        dense = self._dense(logits, target)
        if self.target_threshold is not None:
            dense = (dense > self.target_threshold).to(logits.dtype)
        # A class that is impossible by a logit of -inf costs nothing where it is not wanted.
        limit = torch.finfo(logits.dtype).max
        losses = F.binary_cross_entropy_with_logits(logits.clamp(-limit, limit), dense, reduction="none")
        return losses.sum(dim=-1) if self.sum_classes else losses.mean(dim=-1)

    def _dense(self, logits: Tensor, target: Tensor | MixedBatch) -> Tensor:
        if isinstance(target, MixedBatch):
            return target.targets.to(logits.dtype)
        if target.ndim == 1:
            return smooth_targets(dense_labels(target, logits.shape[-1]), self.smoothing).to(logits.dtype)
        return target.to(logits.dtype)

    def _check(self, logits: Tensor, target: Tensor | MixedBatch) -> None:
        check_tensor("logits", logits, ("B", "num_classes"), "float")
        batch, classes = logits.shape
        if not logits.numel():
            raise wrong("logits", logits, "logits of at least one image and one class")
        if classes == 1 and not self.bce:
            raise wrong("logits", logits, "logits of at least two classes; for a single column use bce=True")
        if isinstance(target, MixedBatch):
            if target.labels is None:
                raise wrong("target", Words("a batch without labels"), "a batch with labels")
            wanted = target.num_classes if target.labels.ndim == 1 else target.labels.shape[1]
            if target.multi_label and not self.bce:
                raise wrong("bce", self.bce, "True, since the classes of the batch are independent")
            if len(target) != batch or wanted not in (None, classes):
                hint = _classes_hint(wanted, classes) if wanted not in (None, classes) else ""
                raise wrong(
                    "logits", logits, f"logits of shape ({len(target)}, {wanted or classes}) for {target}{hint}"
                )
            check_same_device("logits", logits, target.ratio)
            return
        is_tensor = isinstance(target, Tensor) and is_dense(target)
        if not is_tensor or tuple(target.shape) not in ((batch,), (batch, classes)):
            other = is_tensor and target.ndim == 2 and len(target) == batch
            hint = _classes_hint(target.shape[1], classes) if other else ""
            raise wrong(
                "target", target, f"a tensor of shape ({batch}, {classes}) or ({batch},), or a MixedBatch{hint}"
            )
        check_same_device("target", target, logits)
        if target.ndim == 1:
            check_tensor("target", target, (batch,), "integer")
            check_classes("target", target, classes)
        else:
            check_rows("target", target, self.bce)


def _classes_hint(mixed: int, classes: int) -> str:
    """What to do about targets of another number of classes than the logits."""
    return (
        f"; the targets have {mixed} classes and the model has {classes}: give the mixer num_classes={classes}, "
        f"or make a model of {mixed} classes"
    )


def _smoothed(picked: Tensor, logp: Tensor, smoothing: float) -> Tensor:
    # Without smoothing the mean is left out, since a class masked by a logit of -inf would make it 0 * inf.
    return -(1 - smoothing) * picked - smoothing * logp.mean(dim=-1) if smoothing else -picked


def weighed(share: Tensor, logp: Tensor) -> Tensor:
    """Share times log-probability, and 0 for a share of 0 even if the log-probability is minus infinity."""
    return share * logp.where(share != 0, 0)


def _picked(logp: Tensor, labels: Tensor) -> Tensor:
    return logp.gather(1, labels.long().unsqueeze(1)).squeeze(1)
