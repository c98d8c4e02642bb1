"""How a patched model merges, and which of its tokens may."""

from __future__ import annotations

from dataclasses import dataclass

from .schedule import Schedule

__all__ = ["Layout", "Settings"]


@dataclass(frozen=True)
class Settings:
    """How a patched model merges: a `MergeConfig` for a model of that depth.

    Attributes:
        schedule: How many tokens merge in each block.
        prop_attn: Whether log(size) is added to the attention logits.
        matching: How it is decided which tokens merge, one of `timm_mergemix.merge.matching.names.MATCHINGS`.
    """

    schedule: Schedule
    prop_attn: bool = True
    matching: str = "bipartite"


@dataclass(frozen=True)
class Layout:
    """Which tokens of a sequence are patches.

    Attributes:
        prefix_tokens: Leading tokens that never merge.
        suffix_tokens: Trailing tokens that never merge.
        has_class_token: Whether the first token is a class token.
        most_patches: The number of patches, where images have one size; None if they have others.
    """

    prefix_tokens: int
    suffix_tokens: int = 0
    has_class_token: bool = False
    most_patches: int | None = None

    @property
    def protected(self) -> int:
        """Number of tokens that never merge."""
        return self.prefix_tokens + self.suffix_tokens
