"""Settings of MergeMix by kind of training, as the comparison of docs/results.md chose them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import check_choice

__all__ = ["RECIPES", "find_recipe"]

_SHARED = {
    "mergemix_alpha": 1.0,
    "mixup_alpha": 0.8,
    "cutmix_alpha": 0.0,
    "prob": 0.5,  # all batches: no more accurate, and under-confident
    "mergemix_prob": 0.5,  # the rest is Mixup, which hardens most against noise
    "switch_prob": 0.5,
    "ratio_mode": "area",
    "select": "own",
    "saliency_r": ("keep", 0.5),
    "saliency_scale": 1.0,
    "layer": None,
    "divide": True,
}

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "scratch": MappingProxyType({**_SHARED}),
        # Few images are learnt by heart, wrong targets too: the target says what is seen.
        "finetune": MappingProxyType({**_SHARED, "ratio_mode": "attention"}),
    }
)


def find_recipe(name: str) -> dict[str, Any]:
    """Arguments of `MergeMix` by name.

    Args:
        name: ``"scratch"``: few images, many epochs, random weights. ``"finetune"``: pretrained weights.

    Raises:
        MergeMixError: If there is no such recipe.
    """
    check_choice("recipe", name, tuple(RECIPES))
    return dict(RECIPES[name])
