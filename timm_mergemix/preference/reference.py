"""The frozen reference model of DPO."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import wrong
from ..merge.view import eval_view

__all__ = ["check_reference", "in_eval_mode"]


def check_reference(model: nn.Module, reference: nn.Module | None, variant: str) -> None:
    """Raises unless a reference model is given exactly when the pairwise loss needs one.

    Args:
        model: The model in training.
        reference: The frozen model, or None.
        variant: Name of the pairwise loss.
    """
    if reference is model:
        raise wrong("reference", reference, "a frozen copy of the model, not the model itself")
    if (variant == "dpo") != (reference is not None):
        wanted = "a frozen model" if variant == "dpo" else f"None, since the variant is {variant!r}"
        raise wrong("reference", reference, wanted)


def in_eval_mode(reference: Any) -> Any:
    """The model itself if it is in eval mode, else an eval-mode view of it, which leaves the model unchanged."""
    return eval_view(reference) if any(module.training for module in reference.modules()) else reference
