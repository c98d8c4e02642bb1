"""The loss of preference training: a soft-target term on the mix, and the winner before the loser."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import check_tensor, wrong
from ..loss import SoftTargetLoss
from ..metrics.preference import preference_accuracy, reward_margin
from ..mix.batch import MixedBatch
from .config import PreferenceConfig
from .logp import label_logp
from .pairwise import dpo_loss, hinge_loss, simpo_loss

__all__ = ["PreferenceLoss", "PreferenceTerms"]


class PreferenceTerms(NamedTuple):
    """What `PreferenceLoss` returns: scalars; only the first three carry a gradient.

    Attributes:
        total: ``soft_target + weight * preference``; what is to be minimised.
        soft_target: Loss of the mix against its soft target.
        preference: Mean preference loss of the pairs; 0 where there is none.
        reward_margin: Mean of ``beta * (log p(y_i | winner) - log p(y_i | loser))``; nan where there is no pair.
        preference_accuracy: Share of pairs whose winner is more probable, ties half; nan where there is no pair.
    """

    total: Tensor
    soft_target: Tensor
    preference: Tensor
    reward_margin: Tensor
    preference_accuracy: Tensor


class PreferenceLoss(nn.Module):
    """Soft targets on the mix plus ``weight`` times a preference of the clean image (winner) over its mix (loser).

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479): the same answer y_i shall be more probable for the clean image
    than for its mix, by a margin that the mixing ratio sets: ``gamma * (1 - mass)``, where mass is the target mass of
    y_i in the mix before smoothing. A faint mix is hard to tell apart and gets a small margin. A pair of mass 1 (same
    class, or not mixed) has no loser; it is left out of the mean and of the metrics.

    Args:
        beta: Scale of the reward, the log-probability of y_i.
        gamma: Margin of an image that is mixed away.
        weight: Of the preference term. With 0 the winner is not needed.
        variant: ``"simpo"``, see `simpo_loss`; ``"dpo"`` against a frozen reference model, see `dpo_loss`; ``"hinge"``,
            see `hinge_loss`.
        soft_target: The soft-target term; with ``bce`` there, log p(y_i) is that of a sigmoid. None: `SoftTargetLoss`.
        detach_winner: Whether the preference is learnt from the loser alone; for studies.
        detach_loser: Whether it is learnt from the winner alone; for studies.

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
    ) -> None:
        super().__init__()
        PreferenceConfig.check(locals())
        soft_target = SoftTargetLoss() if soft_target is None else soft_target
        if not isinstance(soft_target, SoftTargetLoss) or soft_target.reduction != "mean":
            raise wrong("soft_target", soft_target, 'a SoftTargetLoss with reduction="mean"')
        self.beta = beta
        self.gamma = gamma
        self.weight = weight
        self.variant = variant
        self.soft_target = soft_target
        self.detach_winner = detach_winner
        self.detach_loser = detach_loser

    @classmethod
    def of(cls, config: PreferenceConfig, soft_target: SoftTargetLoss) -> PreferenceLoss:
        """The loss of those settings."""
        settings = {name: value for name, value in vars(config).items() if name != "saliency"}
        return cls(soft_target=soft_target, **settings)

    def forward(
        self,
        winner_logits: Tensor | None,
        loser_logits: Tensor,
        batch: MixedBatch,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> PreferenceTerms:
        """The loss and its parts.

        Args:
            winner_logits: (B, num_classes) float of the clean images; None where ``weight`` is 0.
            loser_logits: (B, num_classes) float of the mixes.
            batch: The mix, with (B,) integer labels.
            reference: For ``"dpo"``, the reference model's logits of the same winners and losers.

        Raises:
            MergeMixError: If something is missing or the shapes do not fit.
        """
        soft_target = self.soft_target(loser_logits, batch)
        nothing, nan = soft_target.new_zeros(()), soft_target.new_full((), torch.nan)
        if winner_logits is None:
            if self.weight > 0:
                raise wrong("winner_logits", None, f"the logits of the clean images, since weight is {self.weight}")
            return PreferenceTerms(soft_target, soft_target, nothing, nan, nan)
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
        """The preference alone, without weight and soft targets, where there is no `MixedBatch` at hand.

        Args:
            winner_logits: (B, num_classes) float of the clean images.
            loser_logits: (B, num_classes) float of the mixes.
            labels: (B,) integers, the classes of the clean images.
            mass: (B,) float, see `MixedBatch.mass`.
            reference: See `forward`.

        Returns:
            The scalars ``preference``, ``reward_margin`` and ``preference_accuracy`` of `PreferenceTerms`.

        Raises:
            MergeMixError: If something is missing or the shapes do not fit.
        """
        check_tensor("winner_logits", winner_logits, tuple(loser_logits.shape), "float")
        winner, loser = self._logp(winner_logits, labels), self._logp(loser_logits, labels)
        check_tensor("mass", mass, tuple(labels.shape), "float")
        for i, logits in enumerate(reference or ()):
            check_tensor(f"reference[{i}]", logits, tuple(loser_logits.shape), "float")
        is_pair = mass < 1
        # Rows that are no pairs take part as a pair of equals, so that they cannot spoil a gradient either.
        losses = self._losses(
            winner.where(is_pair, 0), loser.where(is_pair, 0), self.gamma * (1 - mass), labels, reference
        )
        with torch.no_grad():
            reward = reward_margin(winner, loser, self.beta, is_pair)
            accuracy = preference_accuracy(winner, loser, is_pair)
        return losses.where(is_pair, 0).sum() / is_pair.sum().clamp_min(1), reward, accuracy

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
