"""Builds the mixer that the flags ask for, and the model whose attention it reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from timm.data import resolve_data_config
from torch import nn

from ..errors import MergeMixError, named, unusable
from ..merge.find.feature_maps import find_encoder
from ..merge.find.support import check_name
from ..mix.mixer import Mixer
from ..mixers.mergemix import MergeMix
from ..mixers.registry import create_mixer, takes
from ..weights import create_model, from_file
from .flags import FLAGS
from .request import Request
from .run import naming

__all__ = ["build_encoder", "build_mixer", "epoch_generator"]


def build_mixer(request: Request, model: nn.Module, encoder: nn.Module | None) -> Mixer:
    """Builds the mixer of a run that mixes.

    Args:
        request: What is asked for.
        model: The model in training.
        encoder: Another one whose attention is read; None reads the model's.

    Raises:
        MergeMixError: If the encoder cannot be read, or a setting does not fit it.
    """
    classes: Any = model.num_classes if request.num_classes is None else request.num_classes
    settings: dict[str, Any] = {**vars(request.mix), "num_classes": classes}
    statistics = {} if encoder is None else _statistics(request, model, encoder)
    read = model if encoder is None else encoder
    if request.mixer is not None:
        return _named(request, read, settings, statistics)
    if request.reads:
        flag = FLAGS["mergemix_alpha" if encoder is None else "encoder"]
        with naming(flag, **{**FLAGS, "encoder": flag}):
            return MergeMix(read, **settings, **{**vars(request.saliency), **statistics})
    with naming(request.mixing_flag, **FLAGS):
        return create_mixer("mixup", **{name: value for name, value in settings.items() if takes("mixup", name)})


def _named(request: Request, read: nn.Module, settings: dict[str, Any], statistics: dict[str, Any]) -> Mixer:
    name, shared = str(request.mixer), ("prob", "mode", "label_smoothing", "num_classes")
    arguments = {argument: settings[argument] for argument in shared}
    if request.reads:
        arguments["encoder"] = read
        arguments |= {argument: value for argument, value in statistics.items() if takes(name, argument)}
    try:
        return create_mixer(name, **arguments)
    except (MergeMixError, TypeError) as error:  # what a function behind a name does not take
        raise unusable(f"--mixer {name}", error) from error


def _statistics(request: Request, model: nn.Module, encoder: nn.Module) -> dict[str, Any]:
    """Returns how the script normalises its images, for an encoder that may need other statistics."""
    config = resolve_data_config(dict(request.data), model=model, verbose=False)
    flag = FLAGS["encoder"]
    channels, wanted = config["input_size"][0], find_encoder(encoder, flag).in_channels
    if channels != wanted:
        raise unusable(flag, f"it takes images of {wanted} channels, the script has {channels}")
    return {"image_mean": config["mean"], "image_std": config["std"]}


def build_encoder(request: Request) -> nn.Module | None:
    """Builds the frozen model of ``--mergemix-encoder``, or returns None. The run's random state does not change.

    Raises:
        MergeMixError: If timm has no such model, or its weights cannot be had.
    """
    if request.encoder is None:
        return None
    name, path = request.encoder, request.encoder_checkpoint
    check_name(FLAGS["encoder"], name)
    weights = from_file(path) if path else {"pretrained": True}
    try:
        with torch.random.fork_rng(devices=[]), named(weights=FLAGS["encoder_checkpoint"]):
            encoder = create_model(name, num_classes=0, **weights)
    except MergeMixError:
        raise
    except Exception as error:  # whatever a hub, a file format or a model raises
        reason = f"{type(error).__name__}: {error}"
        raise unusable(FLAGS["encoder"], f"{name} cannot be loaded: {reason}") from error
    return encoder.requires_grad_(False).eval()


def epoch_generator(seed: int, rank: int, epoch: int) -> torch.Generator:
    """Returns the generator for the mixes of an epoch: the same after resuming, and different on each process."""
    state = np.random.SeedSequence([seed % 2**64, rank, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
