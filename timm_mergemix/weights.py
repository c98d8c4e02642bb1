"""Weights of a timm model from a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from os.path import isfile
from typing import Any

import timm
from torch import nn

from .errors import unusable, wrong

__all__ = ["create_model", "from_file"]

# A new pooling or register may be missing from a file; more than this share, and it is that of another model.
MOST_MISSING = 0.1
_LOCK = threading.Lock()


def from_file(path: str | PathLike[str], argument: str = "weights") -> dict[str, Any]:
    """Arguments of `create_model` that load a file where timm would load its pretrained weights.

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


def create_model(name: str, **arguments: Any) -> nn.Module:
    """``timm.create_model``, which loads what it finds of a file in silence: here it must be a file of that model.

    Args:
        name: As timm takes it.
        **arguments: Likewise; those of `from_file` among them.

    Raises:
        MergeMixError: If most weights of the model are not in the file. Else whatever timm raises.
    """
    file = (arguments.get("pretrained_cfg_overlay") or {}).get("file")
    if file is None:
        return timm.create_model(name, **arguments)
    with _LOCK, _watched() as loads:
        model = timm.create_model(name, **arguments)
    if loads:  # a loader of JAX's files has its own way
        _check_loaded(name, file, *loads[-1])
    return model


@contextmanager
def _watched() -> Iterator[list[tuple[nn.Module, Any]]]:
    """The modules that load weights inside, in this thread, and what ``load_state_dict`` says, which timm hides."""
    loads: list[tuple[nn.Module, Any]] = []
    original, own = nn.Module.load_state_dict, threading.get_ident()

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = original(module, *args, **kwargs)
        if threading.get_ident() == own:
            loads.append((module, result))
        return result

    nn.Module.load_state_dict = watched  # type: ignore[method-assign, assignment]
    try:
        yield loads
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


def _check_loaded(name: str, file: str, model: nn.Module, result: Any) -> None:
    heads: Any = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    known = [key for key in model.state_dict() if not key.startswith(heads)]
    missing = [key for key in result.missing_keys if not key.startswith(heads)]
    if len(missing) > MOST_MISSING * len(known):
        found = f"; it has {result.unexpected_keys[0]}" if result.unexpected_keys else ""
        raise unusable(
            "weights", f"{file} lacks {len(missing)} of the {len(known)} weights of {name}, such as {missing[0]}{found}"
        )
