"""How cost grows with tokens and with the batch."""

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

SIDES = (224, 384, 512)  # 197, 577 and 1025 tokens at 16 pixels a patch
BATCHES = (1, 2, 4, 8, 16, 32, 64)
LARGE = 16_384

# Side of the images in pixels, and images a step.
Place = tuple[int, int]


class Point(NamedTuple):
    """One point of the plot.

    Attributes:
        size: Side of the images in pixels.
        tokens: That enter the first block.
        batch: Images a step.
        r: Token merging in words, as it is at 197 tokens.
        seconds: Median seconds an image, by model.
    """

    size: int
    tokens: int
    batch: int
    r: str
    seconds: dict[str, float]

    @classmethod
    def of(cls, record: Record) -> Point:
        """The point in a record of it."""
        return cls(**{name: record[name] for name in cls._fields})


def all_places(most_tokens: int = 64 * 1025) -> list[Place]:
    """Where it is measured; batches of more tokens in all are left out."""
    return [(size, batch) for size in SIDES for batch in BATCHES if batch * _tokens(size) <= most_tokens]


def grow(model: str, r: R, device: torch.device, rounds: int, places: Iterable[Place]) -> Iterator[Point]:
    """Inference at each size and batch.

    Args:
        model: Name of a timm model with patches of 16 pixels.
        r: Token merging. An int is in proportion to the tokens: it holds for 197.
        device: Where.
        rounds: How many rounds of all models at each point; half as many of large batches, which take long and vary
            little.
        places: Size and batch of the points.
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
