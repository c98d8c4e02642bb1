"""The frozen model that a preference by DPO is measured against."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import wrong
from ..merge.view import eval_view

__all__ = ["check_reference", "in_eval_mode"]


def check_reference(model: nn.Module, reference: nn.Module | None, variant: str) -> None:
    """Raises unless there is a reference model where the loss of pairs needs one, and none elsewhere.

    Args:
        model: The model in training.
        reference: The frozen one, or None.
        variant: The loss of a pair.
    """
    if reference is model:
        raise wrong("reference", reference, "a frozen copy of the model, not the model itself")
    if (variant == "dpo") != (reference is not None):
        wanted = "a frozen model" if variant == "dpo" else f"None, since the variant is {variant!r}"
        raise wrong("reference", reference, wanted)


def in_eval_mode(reference: Any) -> Any:
    """The model, or a view of it where it is not in eval mode: it may be run by others, who want it so."""
    return eval_view(reference) if any(module.training for module in reference.modules()) else reference
