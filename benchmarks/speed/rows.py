"""All rows of the table, with the ratios to reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from timm_mergemix.merge.schedule import R

from .merging import over_ideal
from .mixing import SMALL, Pass, mixing, other_encoder_step, unmerged_step, whole_step
from .preference import preference_step
from .row import Row
from .steps import Setting

__all__ = ["all_rows"]

# Model, batch, and the wanted ratios to the ideal: inference, training.
SIZES = (
    ("deit_tiny_patch16_224", 32, 1.10, 1.05),
    ("deit_small_patch16_224", 16, 1.06, 1.03),
    ("vit_base_patch16_224", 8, 1.04, 1.03),
)


def all_rows(device: torch.device, r: R = 13, reference: Path | None = None) -> Iterator[Row]:
    """Returns all rows of the table.

    Args:
        device: The device on which steps run.
        r: Token merging.
        reference: Folder of the published token merging; None leaves it out.
    """
    for name, batch, inference, training in SIZES:
        setting = Setting(name, batch, r, device=device, reference=reference)
        yield over_ideal("inference", setting, inference)
        yield over_ideal("training", setting, training)
    small = Setting("deit_small_patch16_224", 16, r, device=device)
    # On most CPUs, bfloat16 is many times slower than float32.
    half = small._replace(autocast=True, batch=4 if device.type == "cpu" else 16)
    yield over_ideal("inference", half, 1.06 * 1.1)
    yield over_ideal("training", half, 1.03 * 1.1)
    yield over_ideal("inference", small._replace(size=448, batch=4), 1.06)
    yield over_ideal("inference", small._replace(compiled=True), 1.08)
    base = Setting("vit_base_patch16_224", 8, r, device=device)
    for saliency in (Pass(r), SMALL):
        yield whole_step(small, saliency, 0.72)
        if r != 16:
            yield whole_step(small._replace(r=16), Pass(16) if saliency == Pass(r) else SMALL, 0.62)
        yield unmerged_step(small, saliency, 1.15)
        yield other_encoder_step(base, saliency, 1.04)
    for mode, wanted in (("batch", 1.3), ("pair", 1.0), ("elem", 1.0)):
        yield mixing(device, mode, wanted)
    yield preference_step(Setting("deit_tiny_patch16_224", 16, r, device=device))
