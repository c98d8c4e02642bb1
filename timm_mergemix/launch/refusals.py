"""Refuses combinations of settings that cannot work, before anything runs."""

from __future__ import annotations

from argparse import Namespace

from ..errors import unusable, wrong
from ..mix.config import MixConfig
from ..mixers.mixup import timm_blends
from .flags import FLAGS
from .request import Request

__all__ = ["refuse"]

NONE_MIXED = "a number > 0, since nothing would be mixed"


def refuse(args: Namespace, request: Request) -> None:
    """Raises if a request cannot work, by itself or together with the script's own flags.

    Args:
        args: The script's arguments, asked for flags of its own.
        request: What is asked for.

    Raises:
        MergeMixError: With the reason.
    """
    if getattr(args, "torchscript", False) and (request.merge is not None or request.mix is not None):
        raise unusable("--torchscript", "a scripted model can neither merge nor be trained on these mixes; omit it")
    if request.mix is None:
        return
    if request.mixer is not None:
        _check_alone(request.mixer, request.mix)
    else:
        _check_shares(request, request.mix)
    if getattr(args, "naflex_loader", False):
        raise unusable("--naflex-loader", "its batches are sequences of patches, which cannot be mixed by images")
    if getattr(args, "jsd_loss", False):
        raise unusable(
            "--jsd-loss", "it compares augmentations of an image with hard labels, but mixes have soft labels"
        )
    if getattr(args, "aug_splits", 0) > 0:
        raise wrong("--aug-splits", args.aug_splits, "0, since images of one split may not be mixed with another's")


def _check_alone(mixer: str, mix: MixConfig) -> None:
    if mix.mergemix_alpha > 0 or timm_blends(mix):
        raise wrong("--mixer", mixer, "no --mergemix, --mergemix-recipe, --mixup or --cutmix together with it")
    _check_mixes(mix)


def _check_shares(request: Request, mix: MixConfig) -> None:
    mixup = bool(timm_blends(mix))
    if request.preference is not None and not mix.mergemix_alpha > 0 and not mixup:
        wanted = "--mergemix, --mixup, --cutmix or --mixer together with it, since the mix is the loser"
        raise wrong(FLAGS["weight"], request.preference.weight, wanted)
    _check_mixes(mix)
    if not (request.reads or mixup):
        raise wrong(FLAGS["mergemix_prob"], mix.mergemix_prob, NONE_MIXED)


def _check_mixes(mix: MixConfig) -> None:
    if mix.prob == 0:
        raise wrong(FLAGS["prob"], mix.prob, NONE_MIXED)
