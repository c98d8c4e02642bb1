"""Token merging, the MergeMix batch transform and its losses, for timm and torchvision.

Public names are imported on first use, so that ``import timm_mergemix`` costs the workers of a data loader nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import functional, metrics, testing, transforms, viz
    from .errors import MergeMixError
    from .merge.find.support import supported
    from .merge.info import merge_info
    from .merge.patch import merging, patch, record, unpatch
    from .mix.batch import MixedBatch
    from .mix.blends import Blend, Pairs, Paste
    from .mix.dense_loss import DenseSoftTargetLoss
    from .mix.draw import Draw
    from .mix.loss import SoftTargetLoss
    from .mix.mixer import Mixer
    from .mixers.integrate import install, uninstall
    from .mixers.mergemix import MergeMix
    from .mixers.mixup import Mixup
    from .mixers.registry import create_mixer, list_mixers, register_mixer
    from .mixers.resizemix import ResizeMix
    from .preference.loss import PreferenceLoss
    from .preference.pairs import PreferencePairs
    from .preference.pairwise import simpo_loss
    from .preference.step import PreferenceStep
    from .preference.task import MergeMixTask
    from .saliency.choose import saliency_map
    from .tune.search import tune_r

_HOMES = {
    "errors": ["MergeMixError"],
    "mixers.integrate": ["install", "uninstall"],
    "merge.info": ["merge_info"],
    "merge.patch": ["merging", "patch", "record", "unpatch"],
    "merge.find.support": ["supported"],
    "mix.batch": ["MixedBatch"],
    "mix.blends": ["Blend", "Pairs", "Paste"],
    "mix.dense_loss": ["DenseSoftTargetLoss"],
    "mix.draw": ["Draw"],
    "mix.loss": ["SoftTargetLoss"],
    "mixers.mergemix": ["MergeMix"],
    "mix.mixer": ["Mixer"],
    "mixers.mixup": ["Mixup"],
    "mixers.resizemix": ["ResizeMix"],
    "preference.loss": ["PreferenceLoss"],
    "preference.pairs": ["PreferencePairs"],
    "preference.pairwise": ["simpo_loss"],
    "preference.step": ["PreferenceStep"],
    "preference.task": ["MergeMixTask"],
    "mixers.registry": ["create_mixer", "list_mixers", "register_mixer"],
    "saliency.choose": ["saliency_map"],
    "tune.search": ["tune_r"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ["functional", "metrics", "testing", "transforms", "viz", "vlm"]

__all__ = [
    "Blend",
    "DenseSoftTargetLoss",
    "Draw",
    "MergeMix",
    "MergeMixError",
    "MergeMixTask",
    "MixedBatch",
    "Mixer",
    "Mixup",
    "Pairs",
    "Paste",
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
    "testing",
    "transforms",
    "tune_r",
    "uninstall",
    "unpatch",
    "viz",
    "vlm",
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
