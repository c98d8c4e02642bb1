"""Loads the weights of a timm model from a file."""

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

# A file may lack a few weights, such as a new pooling layer. If it lacks more than this share, it is not this model's.
MOST_MISSING = 0.1
# The functions that write a loaded value into a parameter. The second is used if torch is set to swap tensors.
_LOADING = ("copy_", "module_load")


def from_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Returns arguments for `create_model` that load a file in place of timm's pretrained weights.

    As with pretrained weights, timm resamples position embeddings to the image size and leaves out the head.

    Args:
        path: A checkpoint. A ``.npz`` file is read in the format of the original JAX models.

    Raises:
        MergeMixError: If there is no such file, or if this library wrote it and it is damaged.
    """
    path = fspath(path)
    if not isfile(path):
        raise wrong("weights", path, "the path of a file")
    try:
        check_unchanged(Path(path))  # only files that this library wrote have a checksum
    except MergeMixError as error:
        raise unusable("weights", error) from error
    # The model's own source (a hub or a folder) would take precedence over the file, so it is cleared.
    overlay = {"file": path, "source": "", "num_classes": -1, "custom_load": path.endswith(".npz")}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def create_model(name: str, **arguments: Any) -> nn.Module:
    """Calls ``timm.create_model`` and checks that the file holds the weights of this model, which timm does not do.

    Args:
        name: A model name that timm knows.
        **arguments: The other arguments of ``timm.create_model``, including those of `from_file`.

    Raises:
        MergeMixError: If many weights of the model are not in the file. timm's own errors are passed on.
    """
    file = (arguments.get("pretrained_cfg_overlay") or {}).get("file")
    if file is None:
        return timm.create_model(name, **arguments)
    with _Loads() as loads:
        model = timm.create_model(name, **arguments)
    _check_loaded(name, file, model, loads)
    return model


class _Loads(TorchFunctionMode):
    """Notes which parameters were last written by a copy in this thread, which is how timm loads them.

    Initialisation does not count: it comes first, and it ends with another function, such as ``normal_``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loaded: dict[int, nn.Parameter] = {}  # by id, because tensors are compared by value

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
