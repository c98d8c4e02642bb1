"""Preference training for models that answer questions about images.

Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
(arXiv 2510.23479). Only `MergeMixTrainer` needs transformers, which is imported when that name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import need
from .answers import AnswerLogp, answer_logp
from .collator import PairCollator
from .examples import Example
from .loss import Counts, SequencePreferenceLoss, SequencePreferenceTerms
from .mixer import ImageMixer, Mixes
from .mixin import MergeMixMixin
from .partners import Pairing
from .step import SequencePreferenceStep, SequenceStepOutput

if TYPE_CHECKING:
    from .trainer import MergeMixTrainer

__all__ = [
    "AnswerLogp",
    "Counts",
    "Example",
    "ImageMixer",
    "MergeMixMixin",
    "MergeMixTrainer",
    "Mixes",
    "PairCollator",
    "Pairing",
    "SequencePreferenceLoss",
    "SequencePreferenceStep",
    "SequencePreferenceTerms",
    "SequenceStepOutput",
    "answer_logp",
]


def __getattr__(name: str) -> Any:
    if name != "MergeMixTrainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("transformers", "MergeMixTrainer", "vlm")
    return import_module(".trainer", __name__).MergeMixTrainer


def __dir__() -> list[str]:
    return sorted(__all__)
