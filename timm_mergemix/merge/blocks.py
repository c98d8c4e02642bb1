"""The merging forward that all block families share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import Words, wrong
from .autocast import uncached_autocast
from .made import make_plain
from .matching.choose import plan_merges
from .matching.pass_plan import PassPlan, keep_trailing
from .matching.tokens import compose_source, log_size_bias, merge_tokens, places
from .passes import Pass, Tokens, is_symbolic
from .record import AttentionRow, mean_attention, softmax_attention
from .scopes import Scope, scopes_of
from .script import scriptable
from .settings import Settings
from .state import Merging
from .tracing import may_merge

__all__ = ["Context", "MergingBlock"]


class Context(NamedTuple):
    """What goes with the tokens that enter a block.

    Attributes:
        size: (B, N) float32, patches per token; None while nothing has merged.
        source: (B, original N) int64, original token -> token; None while nothing has merged, or if it is not
            needed.
        bias: What is added to the attention logits: the model's own mask while nothing has merged, then the log-size
            bias (B, 1, 1, N); None if there is neither.
        call: What the model passed to the block beside ``x``, for the original tokens: positions, for example.
        valid: (B, original N) float32, 0 for padding; None if there is no padding.
    """

    size: Tensor | None
    source: Tensor | None
    bias: Tensor | None
    call: dict[str, Any]
    valid: Tensor | None = None


class MergingBlock(nn.Module, ABC):
    """Mixin before a block's own class: merges after the attention residual, before the MLP.

    A subclass gives the two branches and what the attention weights are made from; everything else is here.
    """

    merging: Merging
    merge_index: int
    plain: type[nn.Module]
    inherited: tuple[Scope, ...] = ()
    mask_argument: ClassVar[str] = "attn_mask"  # what the plain class calls the mask that is added to the logits
    reads_source: ClassVar[bool] = True  # False of attentions that know no positions, for which no map is kept
    may_be_held: ClassVar[bool] = True  # whether a user's own module may hold such blocks, without their model

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # What looks for blocks by name (FSDP policies, device maps) finds them; pickles go by the qualified name.
        super().__init_subclass__(**kwargs)
        plain: Any = cls.__bases__[-1]
        if not issubclass(plain, MergingBlock) and plain is not ABC:  # else a mixin, or what FSDP makes of one of these
            cls.plain, cls.__name__ = plain, plain.__name__
            make_plain(cls, plain)

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        """The reason why a block of the plain class cannot merge, or None."""
        return None

    @classmethod
    def attentions(cls, block: Any) -> list[Any]:
        """The attention modules of a block; none where the block is one itself."""
        return [block.attn] if hasattr(block, "attn") else []

    def is_overridden(self) -> bool:
        """Whether the block or its attention has its own forward instead of that of its class."""
        return any("forward" in vars(module) for module in (self, *self.attentions(self)))

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        """The modules inside a block that `attach` changes; no two blocks may share one."""
        return []

    @classmethod
    def attach(cls, block: Any) -> None:
        """Prepares a block beyond its class, such as a hook on its keys."""

    @classmethod
    def detach(cls, block: Any) -> None:
        """Undoes `attach`."""

    @classmethod
    def take_out(cls, block: Any) -> None:
        """Makes a block one of its plain class; steps may be repeated, and the mark by which it is known goes last."""
        cls.detach(block)
        block.__class__ = cls.plain
        vars(block).pop("merge_index", None)
        vars(block).pop("merging", None)

    def __prepare_scriptable__(self) -> nn.Module:
        return scriptable(self, self.merging)

    @abstractmethod
    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """What the attention adds to ``x``, and its keys averaged over heads, before positions rotate them.

        Args:
            x: (B, N, C).
            context: What goes with ``x``.

        Returns:
            (B, N, C), and (B, N, D); None if they could not be kept, see `captures_keys`.
        """

    @abstractmethod
    def mlp_branch(self, x: Tensor) -> Tensor | None:
        """What the MLP adds to ``x``, (B, N, C); None if the attention branch holds the MLP too."""

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

    def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
        """Attention weights of some tokens, (B, H, Q, N) float32; arguments as for `query_key`.

        Blocks whose attention is more than a softmax of logits and bias override it.
        """
        return softmax_attention(*self.query_key(x, queries, context), context.bias)

    @torch.no_grad()
    def project_keys(self, x: Tensor, context: Context) -> Tensor:
        """The keys of `attention_branch`, projected once more; arguments as there."""
        return self.query_key(x, slice(0, 1), context)[1].mean(dim=1)

    def captures_keys(self) -> bool:
        """Whether the keys that the attention makes can be kept: a compiler allows no side effect in a checkpoint."""
        return not (torch.compiler.is_compiling() and self.checkpoints(self.merging) is not None)

    def checkpoints(self, merging: Merging) -> Callable[..., Any] | None:
        """What runs a function so that the backward pass repeats it; None if all activations are kept."""
        if merging.checkpointing and torch.is_grad_enabled():
            return partial(checkpoint, use_reentrant=False)
        return None

    @classmethod
    def plain_forward(cls) -> Callable[..., Any]:
        """The forward of the class that this one stands for, without a checkpoint around it."""
        return cls.plain.forward

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """The block on merged tokens. A family whose blocks take other arguments overrides it."""
        causal = {} if is_causal is False else {"is_causal": is_causal}  # older releases of timm do not have it
        return MergingBlock.merge_forward(self, x, attn_mask=attn_mask, **causal)

    def merge_forward(self, x: Tensor, **call: Any) -> Tensor:
        """The forward of all families; ``call`` is what the model passes to the block beside ``x``."""
        cls: Any = type(self)
        merging, index = self.__dict__.get("merging"), self.__dict__.get("merge_index")
        if merging is None or index is None or not issubclass(cls, MergingBlock):
            # Unpatched since, also by another thread at this moment; a wrapper that holds this method calls it still.
            return (cls.plain if issubclass(cls, MergingBlock) else cls).forward(self, x, **call)
        current = merging.pass_for(index, self.__dict__.get("inherited", ()))
        if is_symbolic(x) and not current.settings.schedule.merges_any:
            return cls.plain.forward(self, x, **call)
        x, tokens = current.enter(index, x)
        watcher = current.watcher
        if watcher is not None and not watcher.wants_attention(index):
            watcher = None
        if watcher is not None or tokens.may_merge():
            refuse_masks(call, tokens, cls.mask_argument)
        if watcher is not None:
            watcher.on_attention(index, MergingBlock._attention_row(self, x, tokens, current, call))
        r = tokens.merges[index]
        if not may_merge(r) and tokens.size is None:
            x = _run(cls.checkpoints(self, merging), partial(cls.plain_forward(), self, **call), x)
        else:
            body = partial(_merged, self)
            x, size, source = _run(cls.checkpoints(self, merging), body, x, tokens, r, current.settings, call)
            if size is not None and size.requires_grad:  # reentrant checkpoints say so of all that they return
                size = size.detach()
            tokens = tokens.after(index, x.shape[1], size, source)
        return current.leave(index, x, tokens)

    def _replicate_for_data_parallel(self) -> Any:
        # Replicas run in threads of their own.
        replica = super()._replicate_for_data_parallel()
        replica.inherited = scopes_of(self.merging)
        return replica

    @torch.no_grad()
    def _attention_row(self, x: Tensor, tokens: Tokens, current: Pass, call: dict[str, Any]) -> AttentionRow:
        prefix, suffix = current.layout.prefix_tokens, current.layout.suffix_tokens
        # Without a class token every patch token asks, as often as it stands for patches.
        queries = slice(0, 1) if current.layout.has_class_token else slice(prefix, x.shape[1] - suffix)
        size = tokens.weights()
        weights = None if size is None else size[:, queries]
        bias = _bias(size, torch.float32, current.settings, tokens)
        with uncached_autocast(x.device.type):
            context = Context(tokens.size, tokens.source, bias, call, tokens.valid)
            attention = self.weigh_attention(x, queries, context)
        return AttentionRow(mean_attention(attention, weights), size, tokens.source, prefix, suffix)


def _run(checkpoints: Callable[..., Any] | None, body: Callable[..., Any], *args: Any) -> Any:
    return body(*args) if checkpoints is None else checkpoints(body, *args)


def _merged(
    block: MergingBlock, x: Tensor, tokens: Tokens, r: int, settings: Settings, call: dict[str, Any]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Attention, merge, MLP. Pure: checkpointing runs it again in the backward pass, when settings may have changed."""
    if not isinstance(block, MergingBlock):
        raise wrong(
            "merging",
            Words("a backward pass with gradient checkpointing after the model was unpatched"),
            "a backward pass inside `with merging(...)` or before `unpatch`",
        )
    size, source = tokens.size, tokens.source
    bias = call.get(block.mask_argument) if size is None else _bias(size, x.dtype, settings, tokens)
    context = Context(size, source, bias, call, tokens.valid)
    x, keys = _attend(block, x, context)
    if may_merge(r):
        weights = tokens.weights()
        padding = None if weights is None or tokens.valid is None else weights == 0
        if padding is not None:  # what it holds has no weight in a mean, and must not be rounded off from one
            x = x.masked_fill(padding.unsqueeze(-1), 0.0)
        progress = block.merge_index / len(tokens.merges)
        plan = _plan(block.merging, settings.matching, keys, r, padding, progress, tokens.numbers)
        place = places(plan) if tokens.mapped or block.reads_source else None
        x, size = merge_tokens(x, plan, weights, padded=padding is not None, place=place)
        source = source if place is None else compose_source(place, source)
    mlp = block.mlp_branch(x)
    return x if mlp is None else x + mlp, size, source


def _plan(
    merging: Merging,
    matching: str,
    keys: Tensor,
    r: int,
    padding: Tensor | None,
    progress: float,
    numbers: Tensor | None,
) -> PassPlan:
    """Which tokens merge: trailing ones that are protected are not shown to the matching."""
    suffix, prefix = merging.layout.suffix_tokens, merging.layout.prefix_tokens
    if suffix:
        keys, padding = keys[:, :-suffix], None if padding is None else padding[:, :-suffix]
    if numbers is not None and numbers.device != keys.device:  # the blocks are spread over devices
        numbers = None
    plan = plan_merges(matching, keys, r, prefix, padding, progress, merging.generator, numbers)
    return keep_trailing(plan, suffix) if suffix else plan


def _attend(block: MergingBlock, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
    # A function of its own, so that the branch's memory is free before the MLP asks for more.
    branch, keys = block.attention_branch(x, context)
    return x + branch, block.project_keys(x, context) if keys is None else keys


def _bias(size: Tensor | None, dtype: torch.dtype, settings: Settings, tokens: Tokens) -> Tensor | None:
    if not settings.prop_attn and tokens.valid is None:
        return None
    return log_size_bias(size, dtype, settings.prop_attn, padded=tokens.valid is not None)


def refuse_masks(call: dict[str, Any], tokens: Tokens, mask: str = "attn_mask") -> None:
    """Raises if the caller masks attention by anything but padding.

    Args:
        call: What the model passed to the block beside its tokens.
        tokens: The tokens of the pass.
        mask: The argument that a mask would come by.

    Raises:
        MergeMixError: If there is such a mask.
    """
    masked = call.get(mask) is not None and tokens.valid is None
    if masked or call.get("is_causal"):
        raise wrong(
            mask if masked else "is_causal",
            Words("a mask") if masked else True,
            "no mask, since a mask over the original tokens has no meaning for merged tokens, and its attention is "
            "not recorded; unpatch the model first, or set r=0",
        )
