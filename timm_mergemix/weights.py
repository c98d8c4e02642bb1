"""Weights of a timm model from a file."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

__all__ = ["from_file"]


def from_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Arguments of ``timm.create_model`` that load a file where timm would load its pretrained weights.

    timm adapts what it takes for pretrained: position embeddings to the image size, and it leaves out a head of another
    size.

    Args:
        path: A checkpoint; a ``.npz`` file is read as those of the original JAX models are.
    """
    path = fspath(path)
    # A source of its own (a hub, a folder) would come before the file.
    overlay = {"file": path, "source": "", "num_classes": -1, "custom_load": path.endswith(".npz")}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}
