"""The loss of preference training: a soft-target term on the mix, and a preference of the winner over the loser."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import check_share
from ..errors import check_choice, check_tensor, named, wrong
from ..metrics.preference import margins, points
from ..mix.batch import MixedBatch
from ..mix.loss import SoftTargetLoss
from .config import PreferenceConfig
from .logp import label_logp
from .pairwise import dpo_loss, hinge_loss, simpo_loss

__all__ = ["PreferenceLoss", "PreferenceTerms"]


class PreferenceTerms(NamedTuple):
    """What `PreferenceLoss` returns; only the first three carry a gradient.

    They are scalars by default. With ``reduction="none"`` each is (B,), the values whose means are described here; in a
    row that is not a pair, the preference is 0, and margin and accuracy are nan. With ``reduction="sum"`` each is the
    sum over images or pairs, and 0 if there are none.

    Attributes:
        total: ``soft_target + weight * preference``, the quantity to minimise.
        soft_target: Loss of the mix against its soft target.
        preference: Mean preference loss of the pairs; 0 if there are none.
        reward_margin: Mean of ``beta * (log p(y_i | winner) - log p(y_i | loser))``; nan if there are no pairs.
        preference_accuracy: Share of pairs where y_i is more probable for the winner, with ties counted as half; nan if
            there are no pairs.
    """

    total: Tensor
    soft_target: Tensor
    preference: Tensor
    reward_margin: Tensor
    preference_accuracy: Tensor


class PreferenceLoss(nn.Module):
    """Soft targets on the mix plus ``weight`` times a preference of the clean image (winner) over its mix (loser).

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479): the same answer y_i should be more probable for the clean
    image than for its mix. The mixing ratio sets the margin, ``gamma * (1 - mass)``, where mass is the target mass of
    y_i in the mix before smoothing. A faint mix is hard to tell from the clean image, so its margin is small. A row of
    mass 1 (same class, or not mixed) has no loser and is excluded from the mean and from the metrics.

    Args:
        beta: Scale of the reward, the log-probability of y_i.
        gamma: Margin for an image that is mixed away completely.
        weight: Weight of the preference term. With 0 the winner is not needed.
        variant: Loss per pair: ``"simpo"`` (`simpo_loss`), ``"hinge"`` (`hinge_loss`), or ``"dpo"`` (`dpo_loss`), which
            needs a frozen reference model.
        soft_target: The soft-target term, with the same reduction; its ``bce`` makes log p(y_i) that of a sigmoid.
            None uses a default `SoftTargetLoss`.
        detach_winner: Whether the preference is learnt only from the loser; for ablations.
        detach_loser: Whether the preference is learnt only from the winner; for ablations.
        reduction: ``"mean"`` (over images, and over pairs for the preference), ``"sum"``, or ``"none"``, to weight each
            image yourself. Under gradient accumulation, divide the sums by the numbers of images and pairs in the step.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        weight: float = 1.0,
        variant: str = "simpo",
        soft_target: SoftTargetLoss | None = None,
        detach_winner: bool = False,
        detach_loser: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        PreferenceConfig.check(locals())
        check_choice("reduction", reduction, ("mean", "sum", "none"))
        soft_target = SoftTargetLoss(reduction=reduction) if soft_target is None else soft_target
        if not isinstance(soft_target, SoftTargetLoss) or soft_target.reduction != reduction:
            raise wrong("soft_target", soft_target, f'a SoftTargetLoss with reduction="{reduction}"')
        self.beta = beta
        self.gamma = gamma
        self.weight = weight
        self.variant = variant
        self.soft_target = soft_target
        self.detach_winner = detach_winner
        self.detach_loser = detach_loser
        self.reduction = reduction

    def extra_repr(self) -> str:
        """What ``print(loss)`` shows."""
        return f"{self.variant}, beta={self.beta}, gamma={self.gamma}, weight={self.weight}, reduction={self.reduction}"

    @classmethod
    def of(cls, config: PreferenceConfig, soft_target: SoftTargetLoss) -> PreferenceLoss:
        """Makes the loss that a config describes."""
        settings = {name: value for name, value in vars(config).items() if name != "saliency"}
        return cls(soft_target=soft_target, **settings)

    def forward(
        self,
        winner_logits: Tensor | None,
        loser_logits: Tensor,
        batch: MixedBatch,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> PreferenceTerms:
        """Computes the loss and its parts.

        Args:
            winner_logits: (B, num_classes) float of the clean images; may be None if ``weight`` is 0.
            loser_logits: (B, num_classes) float of the mixes.
            batch: The mix, with (B,) integer labels.
            reference: For ``"dpo"``, the reference model's logits of the same winners and losers.

        Raises:
            MergeMixError: If an argument is missing or the shapes do not match.
        """
        if not isinstance(batch, MixedBatch):
            raise wrong("batch", batch, "the MixedBatch that a mixer's mix() returns")
        with named(logits="loser_logits"):
            soft_target = self.soft_target(loser_logits, batch)
        if winner_logits is None:
            if self.weight > 0:
                raise wrong("winner_logits", None, f"the logits of the clean images, since weight is {self.weight}")
            nothing = torch.zeros_like(soft_target)
            unknown = nothing if self.reduction == "sum" else torch.full_like(nothing, torch.nan)
            return PreferenceTerms(soft_target, soft_target, nothing, unknown, unknown)
        preference, reward, accuracy = self.compare(winner_logits, loser_logits, batch.labels, batch.mass, reference)
        total = soft_target + self.weight * preference if self.weight > 0 else soft_target
        dtype = soft_target.dtype
        return PreferenceTerms(total, soft_target, preference, reward.to(dtype), accuracy.to(dtype))

    def compare(
        self,
        winner_logits: Tensor,
        loser_logits: Tensor,
        labels: Tensor,
        mass: Tensor,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the unweighted preference without soft targets, for callers that have no `MixedBatch`.

        Args:
            winner_logits: (B, num_classes) float of the clean images.
            loser_logits: (B, num_classes) float of the mixes.
            labels: (B,) integers, the classes of the clean images.
            mass: (B,) float, target mass of each label in its mix, as `MixedBatch.mass`.
            reference: For ``"dpo"``, the reference model's logits of the same winners and losers.

        Returns:
            ``preference``, ``reward_margin`` and ``preference_accuracy`` of `PreferenceTerms`.

        Raises:
            MergeMixError: If an argument is missing or the shapes do not match.
        """
        check_tensor("loser_logits", loser_logits, ("B", "num_classes"), "float")
        check_tensor("winner_logits", winner_logits, tuple(loser_logits.shape), "float", like=loser_logits)
        winner, loser = self._logp(winner_logits, labels), self._logp(loser_logits, labels)
        check_tensor("mass", mass, tuple(labels.shape), "float", like=loser_logits)
        check_share("mass", mass)
        if reference is not None:
            _check_reference(reference, loser_logits)
        is_pair = mass < 1
        # Rows that are not pairs become ties, so that a NaN there cannot reach a gradient.
        losses = self._losses(
            winner.where(is_pair, 0), loser.where(is_pair, 0), self.gamma * (1 - mass), labels, reference
        )
        with torch.no_grad():
            rewards, won = margins(winner, loser, self.beta), points(winner, loser)
        return (
            self._reduced(losses, is_pair, of_none=0.0),
            self._reduced(rewards, is_pair, of_none=torch.nan),
            self._reduced(won, is_pair, of_none=torch.nan),
        )

    def _reduced(self, values: Tensor, is_pair: Tensor, of_none: float) -> Tensor:
        """Reduces values of rows over pairs; ``of_none`` is the value where there is no pair."""
        if self.reduction == "none":
            return values.where(is_pair, of_none)
        total, count = values.where(is_pair, 0).sum(), is_pair.sum()
        return total if self.reduction == "sum" else (total / count.clamp_min(1)).where(count > 0, of_none)

    def _losses(
        self,
        winner: Tensor,
        loser: Tensor,
        margin: Tensor,
        labels: Tensor,
        reference: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        winner = winner.detach() if self.detach_winner else winner
        loser = loser.detach() if self.detach_loser else loser
        if self.variant != "dpo":
            function = simpo_loss if self.variant == "simpo" else hinge_loss
            return function(winner, loser, margin, self.beta)
        if reference is None:
            raise wrong("reference", None, "the reference model's logits of winners and losers")
        reference_winner, reference_loser = (self._logp(logits.detach(), labels) for logits in reference)
        return dpo_loss(winner, loser, reference_winner, reference_loser, margin, self.beta)

    def _logp(self, logits: Tensor, labels: Tensor) -> Tensor:
        return label_logp(logits, labels, self.soft_target.bce)


def _check_reference(reference: tuple[Tensor, Tensor], logits: Tensor) -> None:
    """Raises unless these are logits of winners and losers of the same shape as the model's."""
    if not isinstance(reference, (tuple, list)) or len(reference) != 2:
        raise wrong("reference", reference, "the reference model's logits of winners and losers")
    for number, each in enumerate(reference):
        check_tensor(f"reference[{number}]", each, tuple(logits.shape), "float", like=logits)
