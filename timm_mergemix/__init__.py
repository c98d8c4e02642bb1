"""Token merging, the MergeMix batch transform and its losses, for timm and torchvision.

Public names are imported on first use, so that ``import timm_mergemix`` costs a data loader's workers nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import functional, metrics, transforms, viz
    from .errors import MergeMixError
    from .integrate import install, uninstall
    from .loss import SoftTargetLoss
    from .merge.patch import merge_info, merging, patch, record, unpatch
    from .merge.support import supported
    from .mergemix import MergeMix
    from .mix.batch import MixedBatch
    from .mix.blends import Blend, Pairs
    from .mix.draw import Draw
    from .mix.mixer import Mixer
    from .mix.mixers import Mixup, ResizeMix
    from .preference.loss import PreferenceLoss
    from .preference.pairs import PreferencePairs
    from .preference.pairwise import simpo_loss
    from .preference.step import PreferenceStep
    from .preference.task import MergeMixTask
    from .registry import create_mixer, list_mixers, register_mixer
    from .saliency import saliency_map
    from .tune import tune_r

_HOMES = {
    "errors": ["MergeMixError"],
    "integrate": ["install", "uninstall"],
    "loss": ["SoftTargetLoss"],
    "merge.patch": ["merge_info", "merging", "patch", "record", "unpatch"],
    "merge.support": ["supported"],
    "mix.batch": ["MixedBatch"],
    "mix.blends": ["Blend", "Pairs"],
    "mix.draw": ["Draw"],
    "mergemix": ["MergeMix"],
    "mix.mixer": ["Mixer"],
    "mix.mixers": ["Mixup", "ResizeMix"],
    "preference.loss": ["PreferenceLoss"],
    "preference.pairs": ["PreferencePairs"],
    "preference.pairwise": ["simpo_loss"],
    "preference.step": ["PreferenceStep"],
    "preference.task": ["MergeMixTask"],
    "registry": ["create_mixer", "list_mixers", "register_mixer"],
    "saliency": ["saliency_map"],
    "tune": ["tune_r"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ["functional", "metrics", "transforms", "viz"]

__all__ = [
    "Blend",
    "Draw",
    "MergeMix",
    "MergeMixError",
    "MergeMixTask",
    "MixedBatch",
    "Mixer",
    "Mixup",
    "Pairs",
    "PreferenceLoss",
    "PreferencePairs",
    "PreferenceStep",
    "ResizeMix",
    "SoftTargetLoss",
    "__version__",
    "create_mixer",
    "functional",
    "install",
    "list_mixers",
    "merge_info",
    "merging",
    "metrics",
    "patch",
    "record",
    "register_mixer",
    "saliency_map",
    "simpo_loss",
    "supported",
    "transforms",
    "tune_r",
    "uninstall",
    "unpatch",
    "viz",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
