"""The merging forward that all block families share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import MergeMixError
from .matching import bipartite_matching
from .record import AttentionRow, attention_row, uncached_autocast
from .state import Merging, Tokens
from .tokens import compose_source, log_size_bias, merge_tokens

__all__ = ["Context", "MergingBlock", "MergingModel"]


class Context(NamedTuple):
    """What goes with the tokens that enter a block.

    Attributes:
        size: (B, N) float32, patches per token; None while nothing has merged.
        source: (B, original N) int64, original token -> token; None while nothing has merged.
        bias: (B, 1, 1, N) log-size bias on the keys; None while nothing has merged or attention is not proportional.
        call: What the model passed to the block beside ``x``, for the original tokens: positions, for example.
    """

    size: Tensor | None
    source: Tensor | None
    bias: Tensor | None
    call: dict[str, Any]


class MergingBlock(nn.Module, ABC):
    """Mixin before a block's own class: merges after the attention residual, before the MLP.

    An adapter gives the two branches and the attention weights; everything else is here.
    """

    merging: Merging
    merge_index: int

    @abstractmethod
    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """What the attention adds to ``x``, and its keys averaged over heads.

        Args:
            x: (B, N, C).
            context: What goes with ``x``.

        Returns:
            (B, N, C), and (B, N, D).
        """

    @abstractmethod
    def mlp_branch(self, x: Tensor) -> Tensor | None:
        """What the MLP adds to ``x``, (B, N, C); None where the attention branch holds the MLP too."""

    @abstractmethod
    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """Queries of some tokens and keys of all, as the block's attention makes them.

        Args:
            x: (B, N, C), as it enters the block.
            queries: The tokens that ask.
            context: What goes with ``x``.

        Returns:
            (B, H, Q, D), (B, H, N, D), and the factor on their products.
        """

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """The block on merged tokens. A family whose blocks take more than this overrides it."""
        refuse_masks(attn_mask, is_causal)
        return self.merge_forward(x)

    def merge_forward(self, x: Tensor, **call: Any) -> Tensor:
        """The forward of all families; ``call`` is what the model passes to the block beside ``x``."""
        merging, index = self.merging, self.merge_index
        x, tokens = merging.enter(index, x)
        if merging.observer is not None and merging.observer.wants_attention(index):
            merging.observer.on_attention(index, self._attention_row(x, tokens, call))
        r = min(tokens.merges[index], (tokens.length - merging.prefix_tokens) // 2)
        if r == 0 and tokens.size is None:
            x = self._run(partial(super().forward, **call), x)
        else:
            prop_attn, prefix = merging.config.prop_attn, merging.prefix_tokens
            x, size, source = self._run(_merged, self, x, tokens.size, tokens.source, r, prop_attn, prefix, call)
            tokens = Tokens(tokens.merges, x.shape[1], index, size, source)
        return merging.leave(index, x, tokens)

    def _run(self, body: Callable[..., Any], *args: Any) -> Any:
        if self.merging.checkpointing and torch.is_grad_enabled():
            return checkpoint(body, *args, use_reentrant=False)
        return body(*args)

    @torch.no_grad()
    def _attention_row(self, x: Tensor, tokens: Tokens, call: dict[str, Any]) -> AttentionRow:
        prefix = self.merging.prefix_tokens
        # Without a class token every patch token asks, as often as it stands for patches.
        queries = slice(0, 1) if self.merging.has_class_token else slice(prefix, None)
        weights = None if tokens.size is None else tokens.size[:, queries]
        bias = log_size_bias(tokens.size, torch.float32) if self.merging.config.prop_attn else None
        with uncached_autocast(x.device.type):
            query, key, scale = self.query_key(x, queries, Context(tokens.size, tokens.source, bias, call))
        return AttentionRow(attention_row(query, key, scale, bias, weights), tokens.size, tokens.source, prefix)


def _merged(
    block: MergingBlock,
    x: Tensor,
    size: Tensor | None,
    source: Tensor | None,
    r: int,
    prop_attn: bool,
    prefix_tokens: int,
    call: dict[str, Any],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Attention, merge, MLP. Pure: checkpointing runs it again in the backward pass, when settings may have changed."""
    if not isinstance(block, MergingBlock):
        raise MergeMixError(
            "merging: got a backward pass with gradient checkpointing after the model was unpatched, "
            "wanted it inside `with merging(...)`, or before `unpatch`"
        )
    bias = log_size_bias(size, x.dtype) if prop_attn else None
    branch, keys = block.attention_branch(x, Context(size, source, bias, call))
    x = x + branch
    if r > 0:
        plan = bipartite_matching(keys, r, prefix_tokens)
        x, size = merge_tokens(x, plan, size)
        source = compose_source(plan, source)
    mlp = block.mlp_branch(x)
    return x if mlp is None else x + mlp, size, source


def refuse_masks(attn_mask: Tensor | None, is_causal: bool = False) -> None:
    """Raises where the caller masks attention.

    Raises:
        MergeMixError: If there is a mask.
    """
    if attn_mask is not None or is_causal:
        raise MergeMixError(
            f"{'is_causal' if is_causal else 'attn_mask'}: got one, wanted none: "
            "a mask over the original tokens has no meaning over merged ones; unpatch the model first"
        )


class MergingModel(nn.Module):
    """Mixin before a model's own class."""

    merging: Merging

    def head_reads_patches(self) -> bool:
        """Whether patch tokens reach the head, so that they must be recovered before it."""
        return True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward; recovers patch tokens only where its head reads them."""
        with self.merging.during(recovering=self.head_reads_patches()):
            return super().forward(*args, **kwargs)
