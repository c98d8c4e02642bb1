"""Log-probabilities of the tokens of answers, whatever stands around them in a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ..errors import check_tensor, wrong
from ..preference.logp import mean_logp, sequence_logp

__all__ = ["IGNORED", "AnswerLogp", "answer_logp"]

IGNORED = -100  # what labels hold where no token of an answer stands


class AnswerLogp(NamedTuple):
    """Log-probabilities of the tokens of answers.

    Attributes:
        logp: (B, T) float32, or float64 where the logits are.
        mask: (B, T) bool, True for tokens of the answer; the others do not count.
    """

    logp: Tensor
    mask: Tensor

    @property
    def total(self) -> Tensor:
        """A scalar, the sum over all tokens of all answers."""
        return self.logp.where(self.mask, 0).sum()

    @property
    def mean(self) -> Tensor:
        """(B,), the mean over each answer's own tokens; 0 for an answer without any."""
        return mean_logp(self.logp, self.mask)

    @property
    def tokens(self) -> Tensor:
        """A scalar int64, the number of tokens of all answers."""
        return self.mask.sum()

    @property
    def is_there(self) -> Tensor:
        """(B,) bool, False for an answer without a token."""
        return self.mask.any(dim=1)

    def take(self, rows: Tensor) -> AnswerLogp:
        """The answers of some rows, (n,) int64."""
        return AnswerLogp(self.logp[rows], self.mask[rows])

    def detach(self) -> AnswerLogp:
        """The same without a gradient."""
        return AnswerLogp(self.logp.detach(), self.mask)


def answer_logp(outputs: Any, labels: Tensor) -> AnswerLogp:
    """Log-probabilities of answers from the outputs of a causal language model.

    The output at a position is for the token after it, so logits and labels are shifted against each other here. Only
    tokens whose label is not -100 are looked at, wherever the padding is.

    Args:
        outputs: What the model returned: an object with ``logits`` (B, L, V), or these logits. Logits of more
            positions belong to a learnt prompt before the tokens, and are left out. An object with ``log_probs`` and
            ``label_mask`` (B, T), which TRL's fused head returns, holds what is wanted already.
        labels: (B, L) int64, -100 for what is no token of the answer.

    Returns:
        Of L - 1 positions.

    Raises:
        MergeMixError: If there are no logits, or they do not fit the labels.
    """
    check_tensor("labels", labels, ("B", "L"), "integer")
    fused = getattr(outputs, "log_probs", None)
    if fused is not None:
        return AnswerLogp(fused, outputs.label_mask.bool())
    logits: Any = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
    check_tensor("logits", logits, (len(labels), "L", "V"), "float")
    length = labels.shape[1]
    if logits.shape[1] < length:
        raise wrong("logits", logits, f"logits of at least {length} positions, those of the labels")
    tokens = labels[:, 1:]
    mask = tokens != IGNORED
    return AnswerLogp(sequence_logp(logits[:, -length:][:, :-1], tokens, mask), mask)
