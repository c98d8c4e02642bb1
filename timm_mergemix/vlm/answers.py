"""Log-probabilities of the answer tokens in sequences that also contain prompts and padding."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ..errors import check_tensor, wrong
from ..preference.logp import mean_logp, sequence_logp

__all__ = ["IGNORED", "AnswerLogp", "answer_logp"]

IGNORED = -100  # the label of every position that is not a token of an answer


class AnswerLogp(NamedTuple):
    """Log-probabilities of the tokens of answers.

    Attributes:
        logp: (B, T) float32, or float64 if the logits are float64.
        mask: (B, T) bool, True for tokens of the answer; other positions are ignored.
    """

    logp: Tensor
    mask: Tensor

    @property
    def total(self) -> Tensor:
        """The sum over all tokens of all answers, a scalar."""
        return self.logp.where(self.mask, 0).sum()

    @property
    def mean(self) -> Tensor:
        """The mean over each answer's own tokens, (B,); 0 for an empty answer."""
        return mean_logp(self.logp, self.mask)

    @property
    def tokens(self) -> Tensor:
        """The number of tokens of all answers, an int64 scalar."""
        return self.mask.sum()

    @property
    def is_there(self) -> Tensor:
        """Whether each answer has any tokens, (B,) bool."""
        return self.mask.any(dim=1)

    def take(self, rows: Tensor) -> AnswerLogp:
        """The answers of some rows, (n,) int64."""
        return AnswerLogp(self.logp[rows], self.mask[rows])

    def detach(self) -> AnswerLogp:
        """A copy without a gradient."""
        return AnswerLogp(self.logp.detach(), self.mask)


def answer_logp(outputs: Any, labels: Tensor) -> AnswerLogp:
    """Computes log-probabilities of answers from the outputs of a causal language model.

    The output at a position predicts the next token, so this function shifts logits and labels against each other. Only
    tokens whose label is not -100 count, wherever the padding is.

    Args:
        outputs: What the model returned: an object with ``logits`` (B, L, V), or the logits themselves. If there are
            more than L positions, the first ones belong to a learnt prompt and are dropped. An object with
            ``log_probs`` and ``label_mask`` (B, T), which TRL's fused head returns, is used directly.
        labels: (B, L) int64, -100 for positions that are not tokens of the answer.

    Returns:
        Log-probabilities of L - 1 positions.

    Raises:
        MergeMixError: If there are no logits, or if they do not fit the labels.
    """
    check_tensor("labels", labels, ("B", "L"), "integer")
    fused = getattr(outputs, "log_probs", None)
    if fused is not None:
        return AnswerLogp(fused, outputs.label_mask.bool())
    logits: Any = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
    check_tensor("logits", logits, (len(labels), "L", "V"), "float")
    length = labels.shape[1]
    if logits.shape[1] < length:
        raise wrong("logits", logits, f"logits of at least {length} positions, as many as the labels have")
    tokens = labels[:, 1:]
    mask = tokens != IGNORED
    return AnswerLogp(sequence_logp(logits[:, -length:][:, :-1], tokens, mask), mask)
