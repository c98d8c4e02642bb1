"""The branches of the usual blocks: a norm before attention and MLP, or after them; scaled, or not."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from ..blocks import Context, MergingBlock

__all__ = ["PostNormBlock", "PreNormBlock"]


class NormedBlock(MergingBlock):
    """A block with timm's names: two norms, an attention, an MLP, and maybe a factor on each branch."""

    norm1: Any
    attn: Any
    drop_path1: Any
    norm2: Any
    mlp: Any
    drop_path2: Any

    @abstractmethod
    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """What the attention makes of its input (B, N, C), and its keys as `attention_branch` returns them."""

    @abstractmethod
    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """What `query_key` returns, for the attention's input (B, N, C)."""


class PreNormBlock(NormedBlock):
    """Each branch begins with its norm and ends with its factor: LayerScale, or a parameter."""

    ls1: Any
    ls2: Any
    gamma_1: Any
    gamma_2: Any

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """Norm, attention, factor."""
        out, keys = self.attend(self.norm1(x), context)
        if hasattr(self, "ls1"):
            out = self.ls1(out)
        elif getattr(self, "gamma_1", None) is not None:
            out = self.gamma_1 * out
        return self.drop_path1(out), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        """Norm, MLP, factor."""
        out = self.mlp(self.norm2(x))
        if hasattr(self, "ls2"):
            out = self.ls2(out)
        elif getattr(self, "gamma_2", None) is not None:
            out = self.gamma_2 * out
        return self.drop_path2(out)

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """Queries and keys of the normed tokens."""
        return self.project(self.norm1(x), queries, context)


class PostNormBlock(NormedBlock):
    """Each branch ends with its norm."""

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """Attention, norm."""
        out, keys = self.attend(x, context)
        return self.drop_path1(self.norm1(out)), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        """MLP, norm."""
        return self.drop_path2(self.norm2(self.mlp(x)))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """Queries and keys of the tokens as they are."""
        return self.project(x, queries, context)
