"""The loss for answers: cross entropy for the clean image, and a preference of the clean image over its mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import check_range
from ..errors import check_tensor, wrong
from ..metrics.preference import margins, points, total_and_count
from ..preference.config import PreferenceConfig
from ..preference.pairwise import dpo_loss, hinge_loss, simpo_loss
from .answers import AnswerLogp

__all__ = ["Counts", "PairSums", "SequencePreferenceLoss", "SequencePreferenceTerms"]


@dataclass(frozen=True)
class Counts:
    """Denominators that turn sums into means; totals over all batches under gradient accumulation.

    Attributes:
        tokens: Number of tokens of the answers.
        pairs: Number of pairs.
    """

    tokens: int | Tensor
    pairs: int | Tensor


class PairSums(NamedTuple):
    """Sums over the pairs of a batch: scalars, of which only the first one carries a gradient.

    Attributes:
        loss: Sum of the preference losses.
        reward: Sum of ``beta * (winner - loser)``, of the mean log-probabilities of the answers.
        won: Number of pairs whose answer is more probable for the winner, with ties counted as 0.5.
        pairs: Number of pairs.
    """

    loss: Tensor
    reward: Tensor
    won: Tensor
    pairs: Tensor


class SequencePreferenceTerms(NamedTuple):
    """What `SequencePreferenceLoss` returns: scalars; only the first three carry a gradient.

    Attributes:
        total: ``answer + weight * preference``, the quantity to minimise.
        answer: Cross entropy of the answers for the clean images, over `Counts.tokens`.
        preference: Preference loss, over `Counts.pairs`; 0 without pairs.
        reward_margin: Mean of ``beta * (winner - loser)`` over the pairs of this batch; nan without pairs.
        preference_accuracy: Share of pairs of this batch whose answer is more probable for the winner; nan without
            pairs.
        sums: The sums over the pairs of this batch.
    """

    total: Tensor
    answer: Tensor
    preference: Tensor
    reward_margin: Tensor
    preference_accuracy: Tensor
    sums: PairSums


class SequencePreferenceLoss(nn.Module):
    """The cross entropy of the answer plus ``weight`` times the preference of the clean image over its mix.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479), with the loss of Meng et al., "SimPO", NeurIPS 2024 (arXiv 2405.14734): for the same question,
    the right answer should be more probable for the clean image (winner) than for its mix (loser), by the margin
    ``gamma * (1 - ratio)``. Log-probabilities are means over the tokens of the answer.

    Args:
        beta: Scale of the reward, the mean log-probability of the answer.
        gamma: Margin for an image that is mixed away completely.
        weight: Weight of the preference. With 0, no loser is needed.
        variant: Loss per pair: ``"simpo"``, ``"hinge"``, or ``"dpo"``, which needs a frozen reference model and sums
            log-probabilities over tokens. The functions are in `timm_mergemix.functional`.
        detach_winner: Whether the preference is learnt only from the loser.
        detach_loser: Whether the preference is learnt only from the winner, as in the published code.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        weight: float = 1.0,
        variant: str = "simpo",
        detach_winner: bool = False,
        detach_loser: bool = False,
    ) -> None:
        super().__init__()
        PreferenceConfig.check(locals())
        self.beta = beta
        self.gamma = gamma
        self.weight = weight
        self.variant = variant
        self.detach_winner = detach_winner
        self.detach_loser = detach_loser

    def forward(
        self,
        answers: AnswerLogp,
        losers: AnswerLogp | None = None,
        ratio: Tensor | None = None,
        rows: Tensor | None = None,
        reference: tuple[AnswerLogp, AnswerLogp] | None = None,
        counts: Counts | None = None,
    ) -> SequencePreferenceTerms:
        """Computes the loss and its parts.

        Args:
            answers: Log-probabilities for the clean images, (B, T).
            losers: Log-probabilities of the same answers for n mixes, (n, T'); None if there are none.
            ratio: (n,) float, the share of each mix that is the clean image. A mix of ratio 1 is not a pair.
            rows: (n,) int64, the row of the clean image of each mix; None if these are all rows in order.
            reference: For ``"dpo"``, the reference model's log-probabilities of winners and losers, n rows each.
            counts: Denominators of the means, for all batches whose gradients are accumulated; None uses those of this
                batch.

        Raises:
            MergeMixError: If an argument is missing or the shapes do not match.
        """
        check_answers("answers", answers)
        if counts is not None and not isinstance(counts, Counts):
            raise wrong("counts", counts, "Counts, or None")
        tokens = answers.tokens if counts is None else counts.tokens
        answer = -answers.total / _at_least_one(tokens)
        if losers is None or not self.weight:
            nothing, nan = answer.new_zeros(()), answer.new_full((), torch.nan)
            none = PairSums(nothing, nothing, nothing, nothing.long())
            return SequencePreferenceTerms(answer, answer, nothing, nan, nan, none)
        if ratio is None:
            raise wrong("ratio", None, "the share of each mix that is the clean image")
        if rows is not None:
            check_tensor("rows", rows, ("n",), "integer")
            check_range("rows", rows, 0, len(answers.mask) - 1)
        winners = answers if rows is None else answers.take(rows.long())
        sums = self.compare(winners, losers, ratio, reference)
        preference = sums.loss / _at_least_one(sums.pairs if counts is None else counts.pairs)
        return SequencePreferenceTerms(
            answer + self.weight * preference,
            answer,
            preference,
            sums.reward / sums.pairs,
            sums.won / sums.pairs,
            sums,
        )

    def compare(
        self,
        winners: AnswerLogp,
        losers: AnswerLogp,
        ratio: Tensor,
        reference: tuple[AnswerLogp, AnswerLogp] | None = None,
    ) -> PairSums:
        """Computes the sums over pairs, without weight and cross entropy.

        Args:
            winners: Log-probabilities for n clean images.
            losers: Log-probabilities for their mixes.
            ratio: (n,) float. A row is a pair only if its ratio is below 1 and both answers have tokens.
            reference: For ``"dpo"``, the reference model's log-probabilities of winners and losers, n rows each.

        Raises:
            MergeMixError: If an argument is missing or the shapes do not match.
        """
        check_answers("winners", winners)
        check_answers("losers", losers, winners.logp)
        check_tensor("ratio", ratio, (len(winners.mask),), "float", like=winners.logp)
        if len(losers.mask) != len(winners.mask):
            raise wrong("losers", losers.logp, f"as many rows as winners has, {len(winners.mask)}")
        is_pair = (ratio < 1) & winners.is_there & losers.is_there
        # Rows that are not pairs are replaced by zeros, so that a NaN there cannot reach a gradient.
        shown, lost = (each._replace(logp=each.logp.where(is_pair.unsqueeze(1), 0)) for each in (winners, losers))
        losses = self._losses(shown, lost, self.gamma * (1 - ratio), reference)
        with torch.no_grad():
            first, second = winners.mean, losers.mean
            reward, _ = total_and_count(margins(first, second, self.beta), is_pair)
            won, _ = total_and_count(points(first, second), is_pair)
        return PairSums(losses.where(is_pair, 0).sum(), reward, won, is_pair.sum())

    def _losses(
        self,
        winners: AnswerLogp,
        losers: AnswerLogp,
        margin: Tensor,
        reference: tuple[AnswerLogp, AnswerLogp] | None,
    ) -> Tensor:
        winners = winners.detach() if self.detach_winner else winners
        losers = losers.detach() if self.detach_loser else losers
        masks = {"winner_mask": winners.mask, "loser_mask": losers.mask}
        if self.variant != "dpo":
            function = simpo_loss if self.variant == "simpo" else hinge_loss
            return function(winners.logp, losers.logp, margin, self.beta, **masks)
        if not isinstance(reference, (tuple, list)) or len(reference) != 2:
            raise wrong("reference", reference, "the reference model's log-probabilities of winners and losers")
        for number, each in enumerate(reference):
            check_answers(f"reference[{number}]", each, winners.logp)
        first, second = (each.logp for each in reference)
        return dpo_loss(winners.logp, losers.logp, first, second, margin, self.beta, **masks)

    def extra_repr(self) -> str:
        """The settings shown by ``print(loss)``."""
        return f"{self.variant}, beta={self.beta}, gamma={self.gamma}, weight={self.weight}"


def check_answers(argument: str, answers: AnswerLogp, like: Tensor | None = None) -> None:
    """Raises unless these are log-probabilities of answers."""
    if not isinstance(answers, AnswerLogp):
        raise wrong(argument, answers, "an AnswerLogp, which answer_logp returns")
    check_tensor(f"{argument}.logp", answers.logp, ("B", "T"), "float", like=like)
    check_tensor(f"{argument}.mask", answers.mask, tuple(answers.logp.shape), "bool", like=answers.logp)
    if not answers.logp.shape[1]:
        raise wrong(f"{argument}.logp", answers.logp, "at least one token in each answer")


def _at_least_one(count: int | Tensor) -> int | Tensor:
    return count.clamp_min(1) if isinstance(count, Tensor) else max(count, 1)
