"""How often, and by how much, the winner of a pair is more probable than the loser."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import check_number, check_tensor

__all__ = ["margins", "points", "preference_accuracy", "reward_margin", "total_and_count"]


def preference_accuracy(winner_logp: Tensor, loser_logp: Tensor, valid: Tensor | None = None) -> Tensor:
    """Share of pairs in which the winner is more probable; ties count half.

    Args:
        winner_logp: (B,) float, log-probability of the answer for the winner, for token sequences the mean over tokens.
        loser_logp: (B,) float, log-probability of the same answer for the loser.
        valid: (B,) bool, True for the pairs that count; None if all do.

    Returns:
        A scalar, float64 if a log-probability is float64, else float32. NaN if no pair counts, or if one that counts
        holds NaN.

    Raises:
        MergeMixError: If shapes or dtypes do not fit.
    """
    total, count = total_and_count(points(winner_logp, loser_logp), valid)
    return total / count


def reward_margin(winner_logp: Tensor, loser_logp: Tensor, beta: float = 1.0, valid: Tensor | None = None) -> Tensor:
    """Mean of ``beta * (winner_logp - loser_logp)``: the difference of SimPO's rewards, before the target margin.

    Meng et al., "SimPO: Simple Preference Optimization with a Reference-Free Reward", NeurIPS 2024 (arXiv 2405.14734).

    Args:
        winner_logp: (B,) float, log-probability of the answer for the winner, for token sequences the mean over tokens.
        loser_logp: (B,) float, log-probability of the same answer for the loser.
        beta: Scale of the reward, at least 0.
        valid: (B,) bool, True for the pairs that count; None if all do.

    Returns:
        A scalar, float64 if a log-probability is float64, else float32. NaN if no pair counts, or if one that counts
        holds NaN or the same infinity twice.

    Raises:
        MergeMixError: If shapes or dtypes do not fit, or ``beta`` is out of range.
    """
    total, count = total_and_count(margins(winner_logp, loser_logp, beta), valid)
    return total / count


def points(winner_logp: Tensor, loser_logp: Tensor) -> Tensor:
    """(B,): 1 for a pair that is won, 0.5 for a tie, 0 for a loss, NaN if a log-probability is NaN."""
    winner_logp, loser_logp = _checked(winner_logp, loser_logp)
    won = (winner_logp > loser_logp).to(winner_logp.dtype) + 0.5 * (winner_logp == loser_logp)
    return won.masked_fill(winner_logp.isnan() | loser_logp.isnan(), float("nan"))


def margins(winner_logp: Tensor, loser_logp: Tensor, beta: float = 1.0) -> Tensor:
    """The margins (B,) whose mean is the `reward_margin`."""
    check_number("beta", beta, 0)
    winner_logp, loser_logp = _checked(winner_logp, loser_logp)
    return beta * (winner_logp - loser_logp)


def total_and_count(values: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | int]:
    """Sum and number of the values that count; the others may hold anything, even NaN."""
    if valid is None:
        return values.sum(), len(values)
    check_tensor("valid", valid, values.shape, "bool", like=values)
    return values.where(valid, 0).sum(), valid.sum()


def _checked(winner_logp: Tensor, loser_logp: Tensor) -> tuple[Tensor, Tensor]:
    check_tensor("winner_logp", winner_logp, ("B",), "float")
    check_tensor("loser_logp", loser_logp, winner_logp.shape, "float", like=winner_logp)
    dtype = torch.promote_types(torch.promote_types(winner_logp.dtype, loser_logp.dtype), torch.float32)
    return winner_logp.to(dtype), loser_logp.to(dtype)
