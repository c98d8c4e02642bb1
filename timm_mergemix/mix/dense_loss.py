"""The soft-target loss of dense labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..checks import check_range, check_share
from ..errors import Words, check_choice, check_int, check_tensor, wrong
from .batch import MixedBatch
from .loss import weighed
from .maps import class_map

__all__ = ["DenseSoftTargetLoss"]


class DenseSoftTargetLoss(nn.Module):
    """Cross entropy with soft targets for each pixel, computed in float32 at least.

    Args:
        ignore_index: Class of pixels that do not count, in integer maps. In soft maps they have a share of 0 for each
            class; a pixel that is partly ignored counts by the rest of its shares.
        reduction: ``"mean"`` over the pixels that count, ``"sum"``, or ``"none"``.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(self, ignore_index: int = 255, reduction: str = "mean") -> None:
        super().__init__()
        check_int("ignore_index", ignore_index, -(2**31))
        check_choice("reduction", reduction, ("mean", "sum", "none"))
        self.ignore_index = ignore_index
        self.reduction = reduction

    def extra_repr(self) -> str:
        """What ``print(loss)`` shows."""
        return f"ignore_index={self.ignore_index}, reduction={self.reduction}"

    def forward(self, logits: Tensor, target: Tensor | MixedBatch) -> Tensor:
        """Computes the loss.

        Args:
            logits: (B, num_classes, H, W) float.
            target: (B, H, W) or (B, 1, H, W) integers or bool, (B, num_classes, H, W) float, or a `MixedBatch` with
                such masks.

        Returns:
            A scalar, or (B, H, W) with ``reduction="none"``; float32, or float64 where the logits are. The mean is 0
            where no pixel counts.

        Raises:
            MergeMixError: If the shapes do not fit, or, checked on the CPU, values are out of range.
        """
        check_tensor("logits", logits, ("B", "num_classes", "H", "W"), "float")
        maps = target.masks if isinstance(target, MixedBatch) else target
        if maps is None:
            wanted = "a batch with masks, which mixer.mix(..., masks=...) returns"
            raise wrong("target", Words("a batch without masks"), wanted)
        if logits.shape[1] < 2:
            raise wrong("logits", logits, "logits of at least two classes")
        logp = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
        soft = isinstance(maps, Tensor) and maps.is_floating_point()
        losses, weight = self._soft(logp, maps) if soft else self._hard(logp, maps)
        if self.reduction == "mean":
            return losses.sum() / weight.sum().clamp_min(torch.finfo(losses.dtype).tiny)
        return losses if self.reduction == "none" else losses.sum()

    def _hard(self, logp: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and weights of pixels by class numbers."""
        batch, classes, height, width = logp.shape
        numbers = class_map("target", maps)
        check_tensor("target", numbers, (batch, height, width), like=logp)
        ignored = numbers == self.ignore_index
        numbers = numbers.masked_fill(ignored, 0)
        check_range("target", numbers, 0, classes - 1)
        losses = -logp.gather(1, numbers.clamp(0, classes - 1).unsqueeze(1)).squeeze(1)
        return losses.masked_fill(ignored, 0), ignored.logical_not().to(logp.dtype)

    @staticmethod
    def _soft(logp: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and weights of pixels by shares of classes."""
        check_tensor("target", maps, tuple(logp.shape), "float", like=logp)
        check_share("target", maps)
        shares = maps.to(logp.dtype)
        weight = shares.sum(dim=1)
        # Shares that are rounded to bfloat16 sum to 1 only within its precision.
        check_share("sums of target over classes", weight, slack=max(1e-3, torch.finfo(maps.dtype).eps))
        return -weighed(shares, logp).sum(dim=1), weight
