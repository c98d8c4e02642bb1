"""The published token merging, run from a checkout of its repository that the user has; nothing of it is here."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from timm_mergemix.errors import unusable, wrong
from timm_mergemix.merge.schedule import R

__all__ = ["patch_as_published"]


def patch_as_published(model: nn.Module, r: R, checkout: Path) -> nn.Module:
    """Patches an unpatched timm model by Bolya et al.'s own code ("Token Merging", ICLR 2023, arXiv 2210.09461).

    Args:
        model: A model of timm's plain blocks.
        r: An int.
        checkout: Folder of a clone of facebookresearch/ToMe, which holds ``tome/patch/timm.py``.

    Raises:
        MergeMixError: If it is no such folder, or its code does not run with this timm.
    """
    if not (checkout / "tome" / "patch" / "timm.py").is_file():
        raise wrong("reference", str(checkout), "a clone of facebookresearch/ToMe, which holds tome/patch/timm.py")
    if not isinstance(r, int):
        raise wrong("r", r, "an int, since the published patch is compared")
    sys.path.insert(0, str(checkout))
    try:
        published: Any = import_module("tome.patch.timm")
        published.apply_patch(model, prop_attn=True)
    except (ImportError, AttributeError, TypeError) as error:
        raise unusable("reference", f"{checkout} does not work with this timm: {error}") from error
    finally:
        sys.path.remove(str(checkout))
    patched: Any = model
    patched.r = r
    return model
