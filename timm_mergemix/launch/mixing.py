"""The mixer that a script's arguments ask for."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from timm.data import resolve_data_config
from torch import nn

from ..arguments import read_r
from ..errors import MergeMixError, named, unusable, wrong
from ..merge.find.search import find_model
from ..mix.mixer import Mixer
from ..mixers.mergemix import MergeMix
from ..mixers.mixup import Mixup
from ..mixers.registry import create_mixer, takes
from ..weights import create_model, from_file
from .check import reads
from .recipe import has_timm_mixup

# Arguments of the mixers -> the flags that set them.
FLAGS = {
    "label_smoothing": "--smoothing",
    "mode": "--mixup-mode",
    "mixup_alpha": "--mixup",
    "cutmix_alpha": "--cutmix",
    "cutmix_minmax": "--cutmix-minmax",
    "switch_prob": "--mixup-switch-prob",
    "saliency_r": "--mergemix-r",
    "saliency_scale": "--mergemix-scale",
    "layer": "--mergemix-layer",
}

__all__ = ["build_encoder", "build_mixer", "epoch_generator"]


def build_mixer(args: Namespace, model: nn.Module, encoder: nn.Module | None) -> Mixer:
    """A mixer with the settings of timm's flags and of ours.

    Each batch is a MergeMix with its probability, else what timm's flags make of it. A mixer by name is alone.

    Args:
        args: The script's arguments, those of the recipe filled in.
        model: The model in training.
        encoder: Another one whose attention is read; None reads the model's.

    Raises:
        MergeMixError: If the encoder cannot be read, or an argument is out of its range.
    """
    shared: dict[str, Any] = {
        "num_classes": model.num_classes if args.num_classes is None else args.num_classes,
        "mode": args.mixup_mode,
        "label_smoothing": args.smoothing,
    }
    if args.mixer is not None:
        return _named(args, model, encoder, shared)
    own = args.mergemix_prob if args.mergemix > 0 else 0.0
    timm_prob = (1 - own) * args.mixup_prob if has_timm_mixup(args) else 0.0
    prob = own + timm_prob
    if prob == 0:
        wanted = "one of them above 0 for what is switched on, since nothing would be mixed"
        raise wrong("--mergemix-prob, --mixup-prob", (args.mergemix_prob, args.mixup_prob), wanted)
    shared |= {
        "mixup_alpha": args.mixup,
        "cutmix_alpha": args.cutmix,
        "cutmix_minmax": args.cutmix_minmax,
        "prob": prob,
        "switch_prob": args.mixup_switch_prob,
    }
    if own == 0:
        with named(**FLAGS):
            return Mixup(**shared)
    return _mergemix(args, model, encoder, own / prob, shared)


def _mergemix(
    args: Namespace, model: nn.Module, encoder: nn.Module | None, share: float, shared: dict[str, Any]
) -> MergeMix:
    statistics = {} if encoder is None else _statistics(args, model, encoder)
    try:
        with named(**FLAGS):
            return MergeMix(
                model if encoder is None else encoder,
                mergemix_alpha=args.mergemix,
                mergemix_prob=share,
                ratio_mode=args.mergemix_ratio_mode,
                select=args.mergemix_select,
                saliency_r=read_r(args.mergemix_r),
                saliency_scale=args.mergemix_scale,
                layer=args.mergemix_layer,
                **statistics,
                **shared,
            )
    except MergeMixError as error:
        if error.argument.startswith("--"):
            raise
        raise unusable("--mergemix", error) from error


def _named(args: Namespace, model: nn.Module, encoder: nn.Module | None, shared: dict[str, Any]) -> Mixer:
    own: dict[str, Any] = {"encoder": model if encoder is None else encoder} if reads(args) else {}
    if reads(args) and encoder is not None:
        statistics = _statistics(args, model, encoder)
        own |= {name: value for name, value in statistics.items() if takes(args.mixer, name)}
    try:
        return create_mixer(args.mixer, prob=args.mixup_prob, **own, **shared)
    except (MergeMixError, TypeError) as error:  # what a function behind a name does not take
        raise unusable(f"--mixer {args.mixer}", error) from error


def _statistics(args: Namespace, model: nn.Module, encoder: nn.Module) -> dict[str, Any]:
    """How the script normalises its images, for an encoder that may want them otherwise."""
    config = resolve_data_config(vars(args), model=model, verbose=False)
    vit, family = find_model(encoder, "--mergemix-encoder")
    channels, wanted = config["input_size"][0], family.in_channels(vit)
    if channels != wanted:
        raise unusable("--mergemix-encoder", f"it takes images of {wanted} channels, the script has {channels}")
    return {"image_mean": config["mean"], "image_std": config["std"]}


def build_encoder(args: Namespace) -> nn.Module | None:
    """The frozen model of ``--mergemix-encoder``, or None; the run's random numbers are left alone.

    Raises:
        MergeMixError: If timm has no such model, or its weights cannot be had.
    """
    if not args.mergemix_encoder:
        return None
    name, path = args.mergemix_encoder, args.mergemix_encoder_checkpoint
    weights = from_file(path) if path else {"pretrained": True}
    try:
        with torch.random.fork_rng(devices=[]):
            encoder = create_model(name, num_classes=0, **weights)
    except Exception as error:  # whatever a hub, a file format or a model raises
        reason = f"{type(error).__name__}: {error}"
        raise unusable("--mergemix-encoder", f"{name} cannot be loaded: {reason}") from error
    return encoder.requires_grad_(False).eval()


def epoch_generator(seed: int, rank: int, epoch: int) -> torch.Generator:
    """Where an epoch's mixes come from: the same in a run that was resumed, different on each process."""
    state = np.random.SeedSequence([seed % 2**64, rank, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
