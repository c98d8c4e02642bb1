"""Random probabilities, labels and pairs for the tests of metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def predictions(
    batch: int, classes: int = 5, seed: int = 0, digits: int | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Rows of probabilities, and labels. With ``digits``, confidences are rounded, so that many are equal."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator, dtype=torch.float64).mul(2)
    labels = torch.where(
        torch.rand(batch, generator=generator) < 0.6,
        logits.argmax(1),
        torch.randint(classes, (batch,), generator=generator),
    )
    probs = logits.softmax(1)
    if digits is not None:
        top, predicted = probs.max(1)
        top = top.clamp(min=1 / classes + 0.05).mul(10**digits).ceil().div(10**digits).clamp(max=1)
        rest = ((1 - top) / max(classes - 1, 1)).unsqueeze(1).expand(-1, classes)
        probs = rest.scatter(1, predicted.unsqueeze(1), top.unsqueeze(1))
    return probs.to(dtype), labels


def pairs(batch: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of winners and losers, a quarter of them ties, and a mask of the pairs that count."""
    generator = torch.Generator().manual_seed(seed)
    winner, loser = -torch.rand(2, batch, generator=generator, dtype=dtype).mul(5)
    loser = torch.where(torch.rand(batch, generator=generator) < 0.25, winner, loser)
    return winner, loser, torch.rand(batch, generator=generator) < 0.7
