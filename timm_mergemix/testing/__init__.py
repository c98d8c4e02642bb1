"""The invariants of mixing and merging as property tests for any mixer or model. Needs the extra ``testing``.

`check_mixer` and `check_patched` raise an `InvariantError`, which is an `AssertionError`. It names the invariant that
does not hold and gives the smallest case on which it fails. `batches` and `modes` are hypothesis strategies for your
own tests. All names are imported on first use, which raises a `MergeMixError` if hypothesis is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import need

if TYPE_CHECKING:
    from .merging import MERGING_INVARIANTS
    from .mixers import check_mixer
    from .mixing import MIXING_INVARIANTS
    from .patched import check_patched
    from .properties import InvariantError
    from .strategies import Batch, batches, modes

_HOME_OF = {
    "Batch": "strategies",
    "InvariantError": "properties",
    "MERGING_INVARIANTS": "merging",
    "MIXING_INVARIANTS": "mixing",
    "batches": "strategies",
    "check_mixer": "mixers",
    "check_patched": "patched",
    "modes": "strategies",
}

__all__ = [
    "MERGING_INVARIANTS",
    "MIXING_INVARIANTS",
    "Batch",
    "InvariantError",
    "batches",
    "check_mixer",
    "check_patched",
    "modes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("hypothesis", "timm_mergemix.testing", "testing")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
