"""Faults that change nothing that a module does, and why; each was looked at."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

# (path of the source from the package, the fault in words) -> why nothing differs.
EQUIVALENT: dict[tuple[str, str], str] = {}
