"""Log-probabilities of answers; an answer is a class or a sequence of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_classes, reads_values
from ..errors import Words, check_bool, check_tensor, wrong

__all__ = ["label_logp", "mean_logp", "sequence_logp"]


def label_logp(logits: Tensor, labels: Tensor, bce: bool = False) -> Tensor:
    """Log-probability of each image's class, in at least float32.

    Args:
        logits: (B, num_classes) float.
        labels: (B,) integers.
        bce: Whether classes have independent probabilities (sigmoid) instead of a joint distribution (softmax).

    Returns:
        (B,) float32, or float64 if the logits are float64.

    Raises:
        MergeMixError: If the shapes do not fit.
    """
    check_tensor("logits", logits, ("B", "num_classes"), "float")
    check_tensor("labels", labels, (logits.shape[0],), "integer", like=logits)
    check_bool("bce", bce)
    if not logits.shape[0]:
        raise wrong("logits", logits, "at least one image")
    check_classes("labels", labels, logits.shape[1])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logp = F.logsigmoid(logits) if bce else logits.log_softmax(dim=-1)
    return logp.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def sequence_logp(logits: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Log-probability of each token of an answer.

    Args:
        logits: (B, T, V) float, already shifted: those at position t predict ``tokens[:, t]``.
        tokens: (B, T) integers.
        mask: (B, T) bool, True for tokens of the answer. Other positions are ignored: their token may be outside the
            vocabulary, and their logits may be NaN. With None, negative tokens are padding.

    Returns:
        (B, T) float32, or float64 if the logits are float64; 0 for padding. `mean_logp` averages over the answer.

    Raises:
        MergeMixError: If the shapes do not fit, or if a token of the answer is outside the vocabulary. The latter is
            checked on the CPU only; on other devices the token's log-probability is NaN.
    """
    check_tensor("logits", logits, ("B", "T", "V"), "float")
    check_tensor("tokens", tokens, tuple(logits.shape[:2]), "integer", like=logits)
    tokens = tokens.long()
    if mask is None:
        mask = tokens >= 0
    check_tensor("mask", mask, tuple(tokens.shape), "bool", like=logits)
    known = (tokens >= 0) & (tokens < logits.shape[2])
    if reads_values(tokens) and not bool((known | ~mask).all()):
        low, high = (int(part(tokens[mask])) for part in (torch.min, torch.max))
        raise wrong("tokens", Words(f"tokens from {low} to {high}"), f"tokens from 0 to {logits.shape[2] - 1}")
    # The logits of padding are replaced, so that a NaN there cannot reach a gradient.
    logits = logits.where(mask.unsqueeze(2), 0).to(torch.promote_types(logits.dtype, torch.float32))
    logp = logits.log_softmax(dim=-1).gather(2, tokens.where(known, 0).unsqueeze(2)).squeeze(2)
    return logp.where(known, torch.nan).where(mask, 0)


def mean_logp(logp: Tensor, mask: Tensor | None = None, argument: str = "mask") -> Tensor:
    """Mean log-probability of an answer's tokens; padding is ignored, whatever its values are.

    Args:
        logp: (B, T) float, per token; or (B,), per answer, which is returned unchanged.
        mask: (B, T) bool, True for tokens of the answer; None if all are.
        argument: Name of the mask in error messages.

    Returns:
        (B,); 0 for an answer without tokens.

    Raises:
        MergeMixError: If the shapes do not fit.
    """
    if mask is not None:
        check_tensor(argument, mask, tuple(logp.shape) if logp.ndim == 2 else ("B", "T"), "bool", like=logp)
    if logp.ndim == 1:
        if mask is not None:
            raise wrong(argument, mask, "None, since the log-probabilities are per answer, (B,)")
        return logp
    check_tensor("logp", logp, ("B", "T"), "float")
    if not logp.shape[1]:
        raise wrong(argument.replace("mask", "logp"), logp, "at least one token in each answer")
    if mask is None:
        return logp.mean(dim=1)
    return logp.where(mask, 0).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
