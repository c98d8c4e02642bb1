"""What the layers of transformers' vision models share, whatever their parts are called."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ....errors import Words, wrong
from ...blocks import Context, MergingBlock
from ...state import Merging
from ..keys import KeyedBlock, captured_keys, mean_key, shows_keys

__all__ = ["ScaledLayer", "TransformersLayer", "UnscaledLayer", "own_mask"]

IMPLEMENTATIONS = ("eager", "sdpa")
WANTED = (
    "'eager' or 'sdpa', which add the log-size of merged tokens to the logits, as no other one can; "
    "model.set_attn_implementation('sdpa') sets it"
)


class TransformersLayer(KeyedBlock):
    """A layer whose attention has a ``q_proj`` and a ``k_proj``, and takes an additive ``attention_mask``.

    A family names the attention's class and where it is, and gives the two branches.
    """

    attention_name: ClassVar[str]
    attention_class: ClassVar[type[nn.Module]]
    mask_argument: ClassVar[str] = "attention_mask"
    may_be_held: ClassVar[bool] = False  # text models are made of the same layers
    reads_source: ClassVar[bool] = False

    mlp: Any
    gradient_checkpointing: bool
    _gradient_checkpointing_func: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # transformers puts a checkpoint around the forward of each class, older releases around its call. A merging
        # layer has state, so it checkpoints a body without any by itself.
        own: Any = cls.forward
        super().__init_subclass__(**kwargs)
        cls.forward = own  # type: ignore[method-assign]

    __call__ = nn.Module.__call__

    @classmethod
    def attentions(cls, block: Any) -> list[Any]:
        return [getattr(block, cls.attention_name)]

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        (attention,) = cls.attentions(block)
        if type(attention) is not cls.attention_class:
            return f"its layers use {type(attention).__name__}, known is {cls.attention_class.__name__}"
        if not _adds_masks(attention):
            return f"its attn_implementation is {_implementation(attention)!r}, wanted {WANTED}"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [cls.attentions(block)[0].k_proj]

    def checkpoints(self, merging: Merging) -> Callable[..., Any] | None:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return self._gradient_checkpointing_func
        return super().checkpoints(merging)

    @classmethod
    def plain_forward(cls) -> Callable[..., Any]:
        # A pass that a checkpoint repeats must not make another one, also once the layer is unpatched.
        forward: Any = cls.plain.forward
        return forward.__wrapped__ if forward.__code__.co_name == "forward_with_checkpointing" else forward

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, hidden_states, attention_mask=own_mask(self, attention_mask), **kwargs)

    @abstractmethod
    def before_attention(self, x: Tensor) -> Tensor:
        """The norm before the attention, of (B, N, C)."""

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """What the attention makes of its input (B, N, C), and its keys as `attention_branch` returns them."""
        (attention,) = self.attentions(self)
        if not _adds_masks(attention):
            got = Words(f"a patched model with attn_implementation={_implementation(attention)!r}")
            raise wrong("model", got, WANTED)
        # An adapter that was put around the projection since the patch has no hook: then the keys are projected anew.
        hooked = [module for module in self.key_modules(self) if shows_keys(module)]
        with captured_keys(self, *hooked, make=self._mean_key) as keys:
            out = attention(x, attention_mask=context.bias, **self.attention_call(context))[0]
        return out, mean_key(keys)

    def attention_call(self, context: Context) -> dict[str, Any]:
        """What the attention gets beside its input and its mask."""
        return {name: value for name, value in context.call.items() if name != self.mask_argument}

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        x = self.before_attention(x)
        (attention,) = self.attentions(self)
        query, key = (
            projection(x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj)
        )
        query, key = self.rotate(query, key, context)
        return query[:, :, queries], key, getattr(attention, "scaling", None) or attention.scale

    @torch.no_grad()
    def project_keys(self, x: Tensor, context: Context) -> Tensor:
        (attention,) = self.attentions(self)
        return self._mean_key(attention.k_proj, (), attention.k_proj(self.before_attention(x)))

    def rotate(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Queries and keys (B, H, N, D) with their positions; most models have added those to the tokens."""
        return query, key

    def _mean_key(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        (attention,) = self.attentions(self)
        return output.detach().unflatten(-1, (-1, attention.head_dim)).mean(dim=-2)


class UnscaledLayer(TransformersLayer):
    """A layer of CLIP or SigLIP, with two norms and nothing after attention and MLP."""

    attention_name: ClassVar[str] = "self_attn"

    layer_norm1: Any
    layer_norm2: Any

    def before_attention(self, x: Tensor) -> Tensor:
        return self.layer_norm1(x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        return self.attend(self.layer_norm1(x), context)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.mlp(self.layer_norm2(x))


class ScaledLayer(TransformersLayer):
    """A layer of DINOv2 or DINOv3, with LayerScale and DropPath after attention and MLP."""

    attention_name: ClassVar[str] = "attention"

    norm1: Any
    norm2: Any
    layer_scale1: Any
    layer_scale2: Any
    drop_path: Any

    def before_attention(self, x: Tensor) -> Tensor:
        return self.norm1(x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        out, keys = self.attend(self.norm1(x), context)
        return self.drop_path(self.layer_scale1(out)), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.drop_path(self.layer_scale2(self.mlp(self.norm2(x))))


def own_mask(layer: Any, mask: Tensor | None) -> Tensor | None:
    """The mask of a layer's call, unless its model has made it of all tokens; None if there is none."""
    merging = layer.__dict__.get("merging")
    current = None if merging is None else merging.here.current
    return mask if current is None or current.masked else None


def _implementation(attention: Any) -> str | None:
    return attention.config._attn_implementation


def _adds_masks(attention: Any) -> bool:
    return _implementation(attention) in (None, *IMPLEMENTATIONS)
