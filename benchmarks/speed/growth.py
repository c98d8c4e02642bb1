"""Measures how the cost grows with the tokens and with the batch size."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch

from timm_mergemix.merge.schedule import R
from timm_mergemix.tune.timing import interleave

from ..records import Record
from .row import r_in_words
from .steps import Setting, infer, make_models

__all__ = ["BATCHES", "Place", "Point", "all_places", "grow"]

SIDES = (224, 384, 512)  # 197, 577 and 1025 tokens at 16 pixels per patch
BATCHES = (1, 2, 4, 8, 16, 32, 64)
LARGE = 16_384

# Side of the images in pixels, and images per step.
Place = tuple[int, int]


class Point(NamedTuple):
    """One point of the plot.

    Attributes:
        size: Side of the images in pixels.
        tokens: Number of tokens that enter the first block.
        batch: Images per step.
        r: The token merging in words, for 197 tokens.
        seconds: Median seconds per image, by model.
    """

    size: int
    tokens: int
    batch: int
    r: str
    seconds: dict[str, float]

    @classmethod
    def of(cls, record: Record) -> Point:
        """Reads a point from its record."""
        return cls(**{name: record[name] for name in cls._fields})


def all_places(most_tokens: int = 64 * 1025) -> list[Place]:
    """Returns the sizes and batch sizes to measure, without batches that have too many tokens."""
    return [(size, batch) for size in SIDES for batch in BATCHES if batch * _tokens(size) <= most_tokens]


def grow(model: str, r: R, device: torch.device, rounds: int, places: Iterable[Place]) -> Iterator[Point]:
    """Measures inference at each size and batch size.

    Args:
        model: Name of a timm model with patches of 16 pixels.
        r: Token merging. An int is meant for 197 tokens and scales with the number of tokens.
        device: The device.
        rounds: Number of rounds of all models at each point; half as many for large batches, which are slow and vary
            little.
        places: Image size and batch size of each point.
    """
    batches: dict[int, list[int]] = {}
    for size, batch in places:
        batches.setdefault(size, []).append(batch)
    for size in batches:
        tokens = _tokens(size)
        setting = Setting(model, 1, round(r * (tokens - 1) / 196) if isinstance(r, int) else r, size, device=device)
        models = make_models(setting, training=False)
        for batch in batches[size]:
            steps = {name: infer(setting._replace(batch=batch), each) for name, each in models.items()}
            large = batch * tokens > LARGE
            times = interleave(steps, -(-rounds // 2) if large else rounds, device, warmup=1 if large else 2)
            seconds = {name: statistics.median(s) / batch for name, s in times.items()}
            yield Point(size, tokens, batch, r_in_words(r), seconds)


def _tokens(size: int) -> int:
    return (size // 16) ** 2 + 1
