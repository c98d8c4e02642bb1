"""What blocks share that add a relative position bias to their attention logits."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from ..blocks import Context, MergingBlock
from ..record import softmax_attention
from .positions import merge_bias

__all__ = ["RelativeBiasBlock"]


class RelativeBiasBlock(MergingBlock):
    """A block whose bias is merged with the tokens; it then holds the log-size bias, too."""

    @abstractmethod
    def position_bias(self, context: Context) -> Tensor | None:
        """The bias of the original tokens, (H, N, N) or (1, H, N, N), or None."""

    def logit_bias(self, context: Context) -> Tensor | None:
        """All that is added to the logits of the tokens that enter the block."""
        bias = self.position_bias(context)
        if bias is None:
            return context.bias
        if context.source is None or context.size is None:
            return bias
        return merge_bias(bias, context.source, context.size, proportional=context.bias is not None)

    def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
        bias = self.logit_bias(context)
        if bias is not None and bias.shape[-2] > 1:
            bias = bias[..., queries, :]
        return softmax_attention(*self.query_key(x, queries, context), bias)
