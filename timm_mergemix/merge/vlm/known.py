"""Which vision-language models of transformers can have shorter prompts, and why others cannot."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from torch import nn

from ..families import is_old
from ..families.backbone import Backbone
from .reader import MergingReader
from .reading import Reading

__all__ = ["find_reader", "is_reader", "reading_of", "reason_against_reader"]

# Modules of transformers, and the file of each here. Nobody has a model of a module that was not imported.
FILES = {
    "transformers.models.llava.modeling_llava": ".llava",
    "transformers.models.paligemma.modeling_paligemma": ".paligemma",
    "transformers.models.perception_lm.modeling_perception_lm": ".perception_lm",
}

# Models that need the grid of patches after their vision model has run, by the beginning of the name of their class.
GRID = {
    "Qwen2VL": "its merger joins 2 x 2 patches of the grid",
    "Qwen2_5_VL": "its merger joins 2 x 2 patches of the grid, and its blocks work on windows of it",
    "Qwen3VL": "its merger joins 2 x 2 patches of the grid",
    "SmolVLM": "its connector shuffles pixels of the grid",
    "Idefics3": "its connector shuffles pixels of the grid",
    "InternVL": "its projector shuffles pixels of the grid",
    "LlavaNext": "it puts the grids of its tiles together, and ends each line with a token",
    "LlavaOnevision": "it puts the grids of its tiles together, and ends each line with a token",
    "Gemma3": "its projector pools the grid of patches",
    "Mistral3": "its projector joins patches of the grid",
}
INSTEAD = "its vision model can be patched by itself where it is a supported one, and then gives all tokens back"


def find_reader(module: nn.Module) -> nn.Module | None:
    """The outermost model in a module that reads images into prompts: one that is known, or is known to be refused."""
    known = _known()
    parts = module.modules()
    return next((part for part in parts if isinstance(part, MergingReader) or type(part) in known or _grid(part)), None)


def is_reader(module: nn.Module) -> bool:
    """Whether the prompts of a model can be shorter."""
    return isinstance(module, MergingReader) or type(module) in _known()


def reason_against_reader(model: nn.Module, backbone: Backbone | None) -> str | None:
    """Why a model that `find_reader` has found cannot be patched, or None if it can.

    Args:
        model: The model.
        backbone: The vision model in it, None if none is known.
    """
    grid = _grid(model)
    if grid is not None:
        return f"{grid} after its vision model has run, so fewer tokens do not fit; {INSTEAD}"
    if backbone is None:
        tower: Any = getattr(model, "vision_tower", getattr(getattr(model, "model", None), "vision_tower", None))
        return f"its vision model is a {type(tower).__name__}, for which there is no merging class"
    token = getattr(model.config, "image_token_id", None)
    if not isinstance(token, int) or token < 0:
        return f"its config has image_token_id={token!r}, wanted the id of the token that stands for images"
    return _file_of(model).reason(model, backbone)


def reading_of(model: nn.Module, backbone: Backbone) -> Reading:
    """How a model that is not refused reads its vision model."""
    if isinstance(model, MergingReader):
        return model.reading
    parts = tuple(part for part in model.modules() if is_reader(part))
    return _file_of(model).reading(model, backbone, parts)


def _file_of(model: nn.Module) -> Any:
    return _known()[model.plain if isinstance(model, MergingReader) else type(model)]


def _known() -> dict[Any, Any]:
    """Class of a model -> our file of it, for the modules of transformers that were imported."""
    transformers = sys.modules.get("transformers")
    if transformers is None or is_old(transformers):
        return {}
    for module, name in FILES.items():
        if module in sys.modules and name not in _LOADED:
            file: Any = import_module(name, __package__)
            _LOADED[name] = dict.fromkeys(file.READERS, file)
    return {cls: file for files in _LOADED.values() for cls, file in files.items()}


_LOADED: dict[str, dict[Any, Any]] = {}


def _grid(module: nn.Module) -> str | None:
    cls = type(module)
    if not cls.__module__.startswith("transformers.models.") or not hasattr(cls, "get_image_features"):
        return None
    return next((reason for name, reason in GRID.items() if cls.__name__.startswith(name)), None)
