"""Weights of a timm model from a file."""

from __future__ import annotations

from os import PathLike, fspath
from os.path import isfile
from typing import Any

from .errors import wrong

__all__ = ["from_file"]


def from_file(path: str | PathLike[str], argument: str = "weights") -> dict[str, Any]:
    """Arguments of ``timm.create_model`` that load a file where timm would load its pretrained weights.

    timm adapts what it takes for pretrained: position embeddings to the image size. It leaves out the head.

    Args:
        path: A checkpoint; a ``.npz`` file is read as those of the original JAX models are.
        argument: What the path is called where it was given.

    Raises:
        MergeMixError: If there is no such file.
    """
    path = fspath(path)
    if not isfile(path):
        raise wrong(argument, path, "the path of a file")
    # A source of its own (a hub, a folder) would come before the file.
    overlay = {"file": path, "source": "", "num_classes": -1, "custom_load": path.endswith(".npz")}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}
