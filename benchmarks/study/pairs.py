"""Measures how well a trained model separates images from their mixes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from timm_mergemix.errors import MergeMixError
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.mixers.registry import create_mixer
from timm_mergemix.training.pairs import evaluate_pairs

__all__ = ["measure_pairs"]

Batches = Iterable[tuple[Tensor, Tensor]]
SEED = 1


def measure_pairs(
    model: nn.Module, batches: Batches, classes: int, device: torch.device, amp: bool = False
) -> dict[str, float]:
    """Runs `evaluate_pairs` on mixes by MergeMix and by CutMix, with the current merging of the model.

    Args:
        model: A classifier.
        batches: Batches of images and labels; each batch has images of several classes.
        classes: Number of classes.
        device: The device of the model.
        amp: Whether the model runs in bfloat16.

    Returns:
        The measures, prefixed by the name of the mix, such as ``"cutmix_margin"``. A mix without pairs is left
        out.
    """
    found: dict[str, float] = {}
    for kind, mixer in _mixers(model, classes).items():
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            values = _evaluate(model, mixer, batches, device)
        found |= {f"{kind}_{name}": value for name, value in values.items() if not math.isnan(value)}
    return found


def _evaluate(model: nn.Module, mixer: Mixer, batches: Batches, device: torch.device) -> dict[str, float]:
    try:
        return asdict(evaluate_pairs(model, mixer, batches, device))
    except MergeMixError as error:
        if error.argument != "batches":
            raise
        return {}  # all images are of one class


def _mixers(model: nn.Module, classes: int) -> dict[str, Mixer]:
    """MergeMix pairs use the model's own attention; everything else is drawn identically for all models."""
    shared: dict[str, Any] = {"num_classes": classes, "mode": "elem"}
    return {
        "mergemix": MergeMix(model, mergemix_prob=1.0, generator=torch.Generator().manual_seed(SEED), **shared),
        "cutmix": create_mixer("cutmix", generator=torch.Generator().manual_seed(SEED), **shared),
    }
