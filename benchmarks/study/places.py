"""Paths of the external files that a task needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from timm_mergemix.errors import Words, check_int, wrong

__all__ = ["HERE", "Places"]


@dataclass(frozen=True)
class Places:
    """The external files for a comparison.

    Attributes:
        weights: File of the weights for a fine-tuning task; None for timm's.
        data: Directory of images for a full-size task; downloads go there too.
        workers: Processes that read images from disk.

    Raises:
        MergeMixError: If the file of weights does not exist.
    """

    weights: Path | None = None
    data: Path | None = None
    workers: int = 4

    def __post_init__(self) -> None:
        check_int("workers", self.workers, 0)
        if self.weights is not None and not self.weights.is_file():
            raise wrong("weights", Words(self.weights), "the path of a file")

    @property
    def digest(self) -> str:
        """Identifies the weights and images."""
        weights = "" if self.weights is None else _digest(self.weights, self.weights.stat().st_mtime)
        return f"{weights} {self.data or ''}"


@lru_cache
def _digest(path: Path, changed: float) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


HERE = Places()
