"""Batches and stand-ins that several tests of mixing use."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from timm.data.mixup import mixup_target
from torch import Tensor

from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.mergemix import MergeMixBlend
from timm_mergemix.mix.mixer import Mixer

# No deadline: the first example pays for imports. No database: a run must not depend on the one before.
quick = settings(
    deadline=None, max_examples=40, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def distinct(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images of which no two pixels at the same place are equal: each image has a value of its own."""
    values = torch.arange(shape[0], dtype=dtype) * 3 + 1
    return values.view(-1, 1, 1, 1).expand(shape).clone()


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normally distributed images, or uint8 ones."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=generator)
    return torch.randn(shape, generator=generator).to(dtype)


class FixedSaliency:
    """A saliency that depends on the image alone: per cell the mean of absolute values, made to sum to 1."""

    def __init__(self, rows: int, columns: int) -> None:
        self.grid = rows, columns
        self.seen: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        cells = torch.nn.functional.adaptive_avg_pool2d(images.float().abs().mean(dim=1, keepdim=True), self.grid)
        return cells.squeeze(1) / cells.sum(dim=(1, 2, 3)).clamp_min(1e-9).view(-1, 1, 1)


def mergemix(
    rows: int = 4,
    columns: int = 4,
    ratio_mode: str = "area",
    alpha: float = 1.0,
    select: str = "own",
    **options: object,
) -> Mixer:
    """A mixer of MergeMix alone, on a `FixedSaliency`."""
    config = MixConfig(mergemix_alpha=alpha, ratio_mode=ratio_mode, select=select)
    blend = MergeMixBlend(FixedSaliency(rows, columns), config)
    return Mixer([(blend, 1.0)], **options)


class ChosenDraw:
    """In place of a `Draw`: the test chooses each number."""

    def __init__(self, lam: np.ndarray, integers: list | None = None, noise: Tensor | None = None) -> None:
        self.lam = lam
        self._integers = list(integers or [])
        self._noise = noise

    def beta(self, alpha: float) -> np.ndarray:
        return self.lam

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return self.lam

    def integers(self, low: object, high: object) -> np.ndarray:
        return self._integers.pop(0)

    def normal(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(len(self.lam))

    def noise(self, length: int) -> Tensor:
        if self._noise is not None:
            return self._noise
        return torch.rand(len(self.lam), length, generator=torch.Generator().manual_seed(5))


# torch 2.6 makes the number of images a constant when it exports a loss, and cannot trace a context manager.
newer_torch = pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 cannot compile or export the losses"
)

# Forward mode needs a derivative of the antialiased interpolation by which partners are made smaller.
newer_interpolation = pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 has no forward derivative of resized images"
)

# Older releases mix no multi-label targets and cut odd boxes a pixel short, so they are no reference for these.
newer_timm = pytest.mark.skipif(
    "multi_label" not in inspect.signature(mixup_target).parameters, reason="this timm mixes in an older way"
)
