"""How cost grows with tokens and with the batch."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch

from timm_mergemix.merge.schedule import R
from timm_mergemix.tune.timing import interleave

from .steps import Setting, infer, make_models

__all__ = ["BATCHES", "Point", "grow"]

SIDES = (224, 384, 512)  # 197, 577 and 1025 tokens at 16 pixels a patch
BATCHES = (1, 2, 4, 8, 16, 32, 64)
LARGE = 16_384


class Point(NamedTuple):
    """One point of the plot.

    Attributes:
        size: Side of the images in pixels.
        tokens: That enter the first block.
        batch: Images a step.
        seconds: Median seconds an image, by model.
        setting: In words what else decides: points of one plot share it.
    """

    size: int
    tokens: int
    batch: int
    seconds: dict[str, float]
    setting: str = ""


def grow(
    model: str,
    r: R,
    device: torch.device,
    rounds: int,
    most_tokens: int = 64 * 1025,
    done: Collection[tuple[int, int]] = (),
) -> Iterator[Point]:
    """Inference at each size and batch.

    Args:
        model: Name of a timm model with patches of 16 pixels.
        r: Token merging. An int is in proportion to the tokens: it holds for 197.
        device: Where.
        rounds: How many rounds of all models at each point; half as many of large batches, which take long and vary
            little.
        most_tokens: Batches of more tokens in all are left out.
        done: Size and batch of points that are not measured again.
    """
    for size in SIDES:
        tokens = (size // 16) ** 2 + 1
        setting = Setting(model, 1, round(r * (tokens - 1) / 196) if isinstance(r, int) else r, size, device=device)
        batches = [batch for batch in BATCHES if batch * tokens <= most_tokens and (size, batch) not in done]
        models = make_models(setting, training=False) if batches else {}
        for batch in batches:
            steps = {name: infer(setting._replace(batch=batch), each) for name, each in models.items()}
            large = batch * tokens > LARGE
            times = interleave(steps, -(-rounds // 2) if large else rounds, device, warmup=1 if large else 2)
            yield Point(size, tokens, batch, {name: statistics.median(s) / batch for name, s in times.items()})
