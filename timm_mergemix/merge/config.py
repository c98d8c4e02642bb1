"""How tokens merge, as a user sets it."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, option
from .matching.names import MATCHINGS
from .schedule import TEXTS, R, check_r, merges_any, typed_r

__all__ = ["MergeConfig"]


@dataclass(frozen=True)
class MergeConfig(Config):
    """Settings of `timm_mergemix.patch`, before the depth of a model is known."""

    r: R = option(0, f"tokens that merge: {TEXTS}", check_r, flag="--merge-r", read=typed_r, metavar="R")
    prop_attn: bool = option(
        True, "a merged token attracts as much attention as its patches together", flag="--merge-prop-attn", read=bool
    )
    matching: str = option("bipartite", "how tokens are matched", flag="--merge-matching", choices=MATCHINGS)

    @property
    def merges(self) -> bool:
        """Whether ``r`` merges anything."""
        return merges_any(self.r)
