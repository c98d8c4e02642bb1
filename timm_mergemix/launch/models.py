"""Hooks into the models that a script creates: they merge, and the first one gets a mixer for its batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..errors import MergeMixError, unusable
from ..merge.attach import merge_by
from ..merge.config import MergeConfig
from ..merge.families import Backbone
from ..merge.find.feature_maps import FeatureMaps, find_encoder
from ..merge.find.search import find_backbone
from ..merge.find.support import check_name
from .flags import FLAGS
from .log import say_merging, say_mixing
from .mixing import build_encoder, build_mixer
from .request import Request
from .run import Run, naming

__all__ = ["LaterModelError", "create_model"]


class LaterModelError(MergeMixError, RuntimeError):
    """A model cannot merge, after others that could. Scripts that run many models expect a RuntimeError."""


def create_model(run: Run, original: Callable[..., Any], *args: Any, **kwargs: Any) -> nn.Module:
    """Calls a script's ``create_model``, and raises if the model cannot do what the flags ask for."""
    name = kwargs.get("model_name", args[0] if args else None)
    if isinstance(name, str):
        check_name("--model", name)
    model, request = original(*args, **kwargs), run.request
    backbone = None
    if request.merge is not None or (request.reads and request.encoder is None):
        # A model that is read is patched for good: a compiled one would not survive a change of classes each step.
        backbone = _patch(run, model)
    if run.model is None:
        run.model, run.backbone = model, backbone
        if request.mix is not None:
            run.encoder = build_encoder(request)
            run.mixer = build_mixer(request, model, run.encoder)
            say_mixing(run)
    if backbone is not None and not request.training:
        say_merging(run, backbone)
    return model


def _read(request: Request, model: nn.Module) -> Backbone | None:
    """Prepares a model whose attention is read and which does not merge; None if its feature maps are read."""
    try:
        found = find_encoder(model, "model")
        if isinstance(found, FeatureMaps):
            return None
        merge_by(found, MergeConfig())
        return found
    except MergeMixError as error:
        remedy = f"{FLAGS['encoder']} NAME reads another, pretrained model"
        raise unusable(request.mixing_flag, f"{error}; {remedy}") from error


def _patch(run: Run, model: nn.Module) -> Backbone | None:
    merge = run.request.merge
    try:
        if merge is None:
            return _read(run.request, model)
        with naming("--merge-r", r="--merge-r"):
            backbone = find_backbone(model)
            merge_by(backbone, merge)
            return backbone
    except MergeMixError as error:
        # A script that has done others before this model has results to lose: it notes such an error and goes on.
        if run.model is None:
            raise
        raise LaterModelError(str(error)) from error
