"""Weights of a timm model from a file."""

from __future__ import annotations

from os import PathLike, fspath
from os.path import isfile
from pathlib import Path
from typing import Any

import timm
from timm.models import load_state_dict
from torch import nn
from torch.overrides import TorchFunctionMode

from .errors import MergeMixError, unusable, wrong
from .files.tensors import check_unchanged

__all__ = ["create_model", "from_file"]

# A new pooling or register may be missing from a file; more than this share, and it is that of another model.
MOST_MISSING = 0.1
# What writes a loaded value into a parameter; the second one where torch is told to swap tensors.
_LOADING = ("copy_", "module_load")


def from_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Arguments of `create_model` that load a file where timm would load its pretrained weights.

    timm adapts what it takes for pretrained: position embeddings to the image size. It leaves out the head.

    Args:
        path: A checkpoint; a ``.npz`` file is read as those of the original JAX models are.

    Raises:
        MergeMixError: If there is no such file, or it is a damaged one of this library.
    """
    path = fspath(path)
    if not isfile(path):
        raise wrong("weights", path, "the path of a file")
    try:
        check_unchanged(Path(path))  # where this library wrote it
    except MergeMixError as error:
        raise unusable("weights", error) from error
    # A source of its own (a hub, a folder) would come before the file.
    overlay = {"file": path, "source": "", "num_classes": -1, "custom_load": path.endswith(".npz")}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def create_model(name: str, **arguments: Any) -> nn.Module:
    """``timm.create_model``, which loads what it finds of a file in silence: here it must be a file of that model.

    Args:
        name: As timm takes it.
        **arguments: Likewise; those of `from_file` among them.

    Raises:
        MergeMixError: If many weights of the model are not in the file. Else whatever timm raises.
    """
    file = (arguments.get("pretrained_cfg_overlay") or {}).get("file")
    if file is None:
        return timm.create_model(name, **arguments)
    with _Loads() as loads:
        model = timm.create_model(name, **arguments)
    _check_loaded(name, file, model, loads)
    return model


class _Loads(TorchFunctionMode):
    """Notes which parameters were last written by a copy, which is how timm loads them, in this thread alone.

    Initialisation does not count: it comes before, and its last function is another one, such as ``normal_``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loaded: dict[int, nn.Parameter] = {}  # by id, since tensors compare by their values

    def __contains__(self, parameter: nn.Parameter) -> bool:
        return id(parameter) in self._loaded

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        written, name = next(iter(args), None), func.__name__
        if isinstance(written, nn.Parameter):
            if name in _LOADING:
                self._loaded[id(written)] = written
            elif name.endswith("_") and not name.endswith(("__", "requires_grad_")):  # any other change in place
                self._loaded.pop(id(written), None)
        return result


def _check_loaded(name: str, file: str, model: nn.Module, loads: _Loads) -> None:
    classifier: Any = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    wanted = {key: weight for key, weight in model.named_parameters() if not key.startswith(heads)}
    missing = [key for key, weight in wanted.items() if weight not in loads]
    if len(missing) > MOST_MISSING * len(wanted):
        known = model.state_dict().keys()
        others = [] if file.endswith(".npz") else [key for key in load_state_dict(file) if key not in known]
        found = f"; it has {others[0]}" if others else ""
        counts = f"{len(missing)} of the {len(wanted)} weights of {name}"
        raise unusable("weights", f"{file} lacks {counts}, such as {missing[0]}{found}")
