"""The names of the matchings, for settings and command lines, which need no torch."""

from __future__ import annotations

__all__ = ["MATCHINGS"]

MATCHINGS = ("bipartite", "random", "kth", "pitome")
