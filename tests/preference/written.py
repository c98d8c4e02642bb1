"""Makes pairs to write to disk, and reads back the files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from timm_mergemix import Mixup
from timm_mergemix.preference.pairs import PairBatch, PreferencePairs

from ..mix.batches import noise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def made(count: int = 3, seed: int = 0, size: int = 8, **options: object) -> Iterator[PairBatch]:
    """Yields batches of five, whose middle row is never a pair; the same batches each time."""
    generator = torch.Generator().manual_seed(seed)
    pairs = PreferencePairs(Mixup(num_classes=10, mode="elem", generator=generator, **options))
    for i in range(count):
        yield pairs(noise(5, 3, size, size, seed=seed + i, dtype=torch.uint8), torch.arange(5) + i)


def files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


def rows(batches: Iterable[PairBatch]) -> Iterator[tuple[PairBatch, int]]:
    """Finds the pairs without `PairBatch.select`."""
    for pairs in batches:
        for row in range(len(pairs)):
            if pairs.label[row] != pairs.partner_label[row] and pairs.ratio[row] < 1:
                yield pairs, row


def batch_of(images: Tensor) -> PairBatch:
    return PreferencePairs(Mixup(num_classes=10))(images, torch.arange(len(images)))
