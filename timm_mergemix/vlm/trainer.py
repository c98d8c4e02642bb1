"""transformers' Trainer with the preference."""

from __future__ import annotations

from transformers import Trainer

from .mixin import MergeMixMixin

__all__ = ["MergeMixTrainer"]


class MergeMixTrainer(MergeMixMixin, Trainer):  # type: ignore[misc]
    """transformers' ``Trainer`` with `MergeMixMixin`, which makes it prefer each clean image to its mix."""
