"""Log-probabilities of answers: of a class, or of a sequence of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_classes, reads_values
from ..errors import Words, check_bool, check_tensor, wrong

__all__ = ["label_logp", "mean_logp", "sequence_logp"]


def label_logp(logits: Tensor, labels: Tensor, bce: bool = False) -> Tensor:
    """Log-probability of each image's class, in float32 at least.

    Args:
        logits: (B, num_classes) float.
        labels: (B,) integers.
        bce: Whether each class has a probability of its own (sigmoid) instead of all together (softmax).

    Returns:
        (B,) float32, or float64 where the logits are.

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
        logits: (B, T, V) float; those at position t are for ``tokens[:, t]``, so they are shifted already.
        tokens: (B, T) integers.
        mask: (B, T) bool, True for tokens of the answer. What stands elsewhere is never looked at: neither the token,
            which may be out of the vocabulary, nor the logits, which may be NaN. None: negative tokens are padding.

    Returns:
        (B, T) float32, or float64 where the logits are; 0 for padding. `mean_logp` takes the mean over the answer.

    Raises:
        MergeMixError: If the shapes do not fit, or, looked for on the CPU alone, a token of the answer is out of the
            vocabulary; elsewhere its log-probability is NaN.
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
        raise wrong("tokens", Words(f"tokens from {low} to {high}"), f"them from 0 to {logits.shape[2] - 1}")
    # Padding takes part with numbers of its own, so that its logits cannot spoil a gradient.
    logits = logits.where(mask.unsqueeze(2), 0).to(torch.promote_types(logits.dtype, torch.float32))
    logp = logits.log_softmax(dim=-1).gather(2, tokens.where(known, 0).unsqueeze(2)).squeeze(2)
    return logp.where(known, torch.nan).where(mask, 0)


def mean_logp(logp: Tensor, mask: Tensor | None = None, argument: str = "mask") -> Tensor:
    """Mean log-probability of an answer's tokens; padding is never counted, whatever stands there.

    Args:
        logp: (B, T) float of tokens, or (B,) of answers that are one class, which is returned as it is.
        mask: (B, T) bool, True for tokens of the answer; None where all are.
        argument: Name of the mask, for the error.

    Returns:
        (B,); 0 for an answer without a token.

    Raises:
        MergeMixError: If the shapes do not fit.
    """
    if mask is not None:
        check_tensor(argument, mask, tuple(logp.shape) if logp.ndim == 2 else ("B", "T"), "bool", like=logp)
    if logp.ndim == 1:
        if mask is not None:
            raise wrong(argument, mask, "None, since the log-probabilities are of whole answers, (B,)")
        return logp
    check_tensor("logp", logp, ("B", "T"), "float")
    if not logp.shape[1]:
        raise wrong(argument.replace("mask", "logp"), logp, "at least one token in each answer")
    if mask is None:
        return logp.mean(dim=1)
    return logp.where(mask, 0).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
