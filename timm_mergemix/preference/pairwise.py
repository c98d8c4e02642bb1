"""Pairwise losses of a winner and a loser."""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import check_number, check_positive, check_tensor, wrong
from .logp import mean_logp

__all__ = ["dpo_loss", "hinge_loss", "simpo_loss"]


def simpo_loss(
    winner_logp: Tensor,
    loser_logp: Tensor,
    margin: float | Tensor = 0.0,
    beta: float = 1.0,
    *,
    winner_mask: Tensor | None = None,
    loser_mask: Tensor | None = None,
) -> Tensor:
    """``-log sigmoid(beta * (winner - loser) - margin)`` of each pair.

    Meng et al., "SimPO: Simple Preference Optimization with a Reference-Free Reward", NeurIPS 2024 (arXiv 2405.14734).
    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479), give each pair its own margin.

    Args:
        winner_logp: (B,) float, log-probability of the answer for the winner; or (B, T) float, of its tokens, which are
            averaged so that long answers are not penalised.
        loser_logp: (B,) float, the same for the loser; or (B, T') float, of its tokens.
        margin: Margin by which the winner should lead, a number or (B,) float.
        beta: Scale of the reward.
        winner_mask: (B, T) bool, True for tokens of the winner's answer; None if all are.
        loser_mask: (B, T') bool, True for tokens of the loser's answer; None if all are.

    Returns:
        (B,), in at least float32. A pair with an empty answer has loss 0 and no gradient.

    Raises:
        MergeMixError: If the shapes do not fit, or if ``beta`` is not positive.
    """
    check_positive("beta", beta)
    winner, loser = _answers(winner_logp, loser_logp, winner_mask, loser_mask)
    losses = F.softplus(_margin(margin, winner) - beta * (winner - loser))
    return _of_answers(losses, winner_mask, loser_mask)


def hinge_loss(
    winner_logp: Tensor,
    loser_logp: Tensor,
    margin: float | Tensor = 0.0,
    beta: float = 1.0,
    *,
    winner_mask: Tensor | None = None,
    loser_mask: Tensor | None = None,
) -> Tensor:
    """``max(0, margin - beta * (winner - loser))`` of each pair: no gradient once the winner leads by the margin.

    Zhao et al., "SLiC-HF: Sequence Likelihood Calibration with Human Feedback", 2023 (arXiv 2305.10425).
    Arguments, return value and errors are those of `simpo_loss`.
    """
    check_positive("beta", beta)
    winner, loser = _answers(winner_logp, loser_logp, winner_mask, loser_mask)
    losses = F.relu(_margin(margin, winner) - beta * (winner - loser))
    return _of_answers(losses, winner_mask, loser_mask)


def dpo_loss(
    winner_logp: Tensor,
    loser_logp: Tensor,
    reference_winner_logp: Tensor,
    reference_loser_logp: Tensor,
    margin: float | Tensor = 0.0,
    beta: float = 1.0,
    *,
    winner_mask: Tensor | None = None,
    loser_mask: Tensor | None = None,
) -> Tensor:
    """``-log sigmoid(beta * ((winner - loser) - (reference winner - reference loser)) - margin)`` of each pair.

    Rafailov et al., "Direct Preference Optimization", NeurIPS 2023 (arXiv 2305.18290), have a margin of 0; Amini et
    al., "Direct Preference Optimization with an Offset", ACL 2024 (arXiv 2402.10571), have other margins. As in both,
    the log-probability of a sequence is the sum over its tokens.

    Args:
        winner_logp: (B,) float, log-probability of the answer for the winner; or (B, T) float, of its tokens.
        loser_logp: (B,) float, the same for the loser; or (B, T') float, of its tokens.
        reference_winner_logp: The frozen reference model's ``winner_logp``, of the same shape; it gets no gradient.
        reference_loser_logp: The frozen reference model's ``loser_logp``, of the same shape; it gets no gradient.
        margin: Margin by which the winner should lead, a number or (B,) float.
        beta: Scale of the reward.
        winner_mask: (B, T) bool, True for tokens of the winner's answer; None if all are.
        loser_mask: (B, T') bool, True for tokens of the loser's answer; None if all are.

    Returns:
        (B,), in at least float32. A pair with an empty answer has loss 0 and no gradient.

    Raises:
        MergeMixError: If the shapes do not fit, or if ``beta`` is not positive.
    """
    check_positive("beta", beta)
    _check_logp(winner_logp, loser_logp)
    check_tensor("reference_winner_logp", reference_winner_logp, tuple(winner_logp.shape), "float", winner_logp)
    check_tensor("reference_loser_logp", reference_loser_logp, tuple(loser_logp.shape), "float", loser_logp)
    wide = _wide(winner_logp, loser_logp, reference_winner_logp, reference_loser_logp)
    winner = winner_logp.to(wide) - reference_winner_logp.detach().to(wide)
    loser = loser_logp.to(wide) - reference_loser_logp.detach().to(wide)
    ahead = _total(winner, winner_mask, "winner_mask") - _total(loser, loser_mask, "loser_mask")
    return _of_answers(F.softplus(_margin(margin, ahead) - beta * ahead), winner_mask, loser_mask)


def _answers(
    winner: Tensor, loser: Tensor, winner_mask: Tensor | None, loser_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean log-probabilities (B,) of both answers, in at least float32."""
    _check_logp(winner, loser)
    wide = _wide(winner, loser)
    return (
        mean_logp(winner.to(wide), winner_mask, "winner_mask"),
        mean_logp(loser.to(wide), loser_mask, "loser_mask"),
    )


def _of_answers(losses: Tensor, *masks: Tensor | None) -> Tensor:
    """The losses of pairs, set to 0 where an answer has no tokens; the same on every device."""
    for mask in masks:
        losses = losses if mask is None else losses.where(mask.any(dim=1), 0)
    return losses


def _wide(*tensors: Tensor) -> torch.dtype:
    """At least float32: log-probabilities are large compared with their differences."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)


def _check_logp(winner: Tensor, loser: Tensor) -> None:
    for name, logp in (("winner_logp", winner), ("loser_logp", loser)):
        is_tokens = isinstance(logp, Tensor) and logp.ndim == 2
        check_tensor(name, logp, ("B", "T") if is_tokens else ("B",), "float", like=winner)
    if winner.shape[0] != loser.shape[0]:
        raise wrong("loser_logp", loser, f"as many pairs as winner_logp has, {len(winner)}")


def _total(logp: Tensor, mask: Tensor | None, argument: str) -> Tensor:
    mean = mean_logp(logp, mask, argument)
    if logp.ndim == 1:
        return mean
    return mean * (logp.shape[1] if mask is None else mask.sum(dim=1))


def _margin(margin: float | Tensor, like: Tensor) -> float | Tensor:
    if not isinstance(margin, Tensor):
        check_number("margin", margin, -torch.inf)
    elif margin.ndim:
        check_tensor("margin", margin, tuple(like.shape), "float", like=like)
    return margin
