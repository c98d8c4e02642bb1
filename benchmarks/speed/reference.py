"""Runs the published token merging from the user's clone of its repository; no code of it is in this library."""

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
    """Patches an unpatched timm model with Bolya et al.'s own code ("Token Merging", ICLR 2023, arXiv 2210.09461).

    Args:
        model: A model of timm's plain blocks.
        r: Number of tokens to merge in each block.
        checkout: Folder of a clone of facebookresearch/ToMe, which contains ``tome/patch/timm.py``.

    Raises:
        MergeMixError: If the folder is not such a clone, or its code does not run with the installed timm.
    """
    if not (checkout / "tome" / "patch" / "timm.py").is_file():
        raise wrong("reference", str(checkout), "a clone of facebookresearch/ToMe, which contains tome/patch/timm.py")
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
