"""The criterion of a script that trains on mixes. It chooses the loss by the shape of the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn

from ..errors import unusable
from ..mix.batch import MixedBatch
from ..mix.loss import SoftTargetLoss
from ..preference.config import PreferenceConfig
from ..preference.loss import PreferenceLoss

__all__ = ["MixCriterion", "pack", "soft_criterion", "unpack"]

TERMS = ("preference_loss", "reward_margin", "preference_accuracy")


def pack(batch: MixedBatch) -> Tensor:
    """Packs what the losses need to know about a batch into one tensor, which a script can carry as its target.

    Its shape is (B, 1, num_classes + 2): three axes tell it from soft targets (B, num_classes).
    """
    columns = [batch.targets, batch.labels.unsqueeze(1), batch.mass.unsqueeze(1)]
    return torch.cat([column.to(batch.targets.dtype) for column in columns], dim=1).unsqueeze(1)


def unpack(target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the soft targets (B, num_classes), labels (B,) and masses (B,) that `pack` has packed."""
    targets, labels, mass = target.squeeze(1).split([target.shape[2] - 2, 1, 1], dim=1)
    return targets, labels.squeeze(1).round().long(), mass.squeeze(1)


def soft_criterion(plain: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the form of a criterion for soft targets, which are smoothed already.

    Raises:
        MergeMixError: If the criterion has no such form.
    """
    if isinstance(plain, LabelSmoothingCrossEntropy):
        return SoftTargetCrossEntropy()
    takes_both = isinstance(plain, (SoftTargetCrossEntropy, BinaryCrossEntropy))
    if takes_both or (isinstance(plain, nn.CrossEntropyLoss) and plain.label_smoothing == 0):
        return plain
    raise unusable(
        "criterion",
        f"the script's is {type(plain).__name__}, for which soft targets have no known meaning; "
        "wanted (binary) cross entropy",
    )


class MixCriterion(nn.Module):
    """Replaces the criterion of a script.

    Args:
        plain: The script's own criterion, for labels (B,).
        preference: Settings for packed targets. Their logits are those of the mixes, followed by those of the clean
            images. None if there are no such targets.

    Raises:
        MergeMixError: If the criterion has no form for soft targets.
    """

    totals: Tensor

    def __init__(self, plain: Callable[[Tensor, Tensor], Tensor], preference: PreferenceConfig | None) -> None:
        super().__init__()
        self.plain = plain
        self.soft = soft_criterion(plain)
        target = SoftTargetLoss(bce=isinstance(plain, BinaryCrossEntropy))
        self.preference = None if preference is None else PreferenceLoss.of(preference, target)
        # Kept on the device so that no step waits for them: the number of pairs, and the sum of each of TERMS.
        self.register_buffer("totals", torch.zeros(1 + len(TERMS)), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of logits (B, num_classes), or (2 B, num_classes) for packed targets."""
        if target.ndim == 1:
            return self.plain(logits, target)
        if target.ndim == 2 or self.preference is None:
            return self.soft(logits, target)
        targets, labels, mass = unpack(target)
        losers, winners = logits.chunk(2)
        terms = self.preference.compare(winners, losers, labels, mass)
        self._count(mass, terms)
        return self.soft(losers, targets) + self.preference.weight * terms[0]

    @torch.no_grad()
    def _count(self, mass: Tensor, terms: tuple[Tensor, ...]) -> None:
        pairs = (mass < 1).sum()
        # Without a pair margin and accuracy are nan; they have no weight then.
        means = torch.stack([term.detach().float() for term in terms]).nan_to_num()
        self.totals += torch.cat([pairs.reshape(1).float(), pairs * means])

    def start_epoch(self) -> None:
        """Resets the sums over pairs."""
        self.totals.zero_()

    def means(self) -> dict[str, float]:
        """Returns the means of the preference terms over all pairs of the epoch so far; NaN without a pair."""
        totals = self.totals.clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(totals)
        return dict(zip(TERMS, (totals[1:] / totals[0]).tolist(), strict=True))
