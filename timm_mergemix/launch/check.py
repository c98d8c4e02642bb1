"""What was asked for, read from a script's parsed arguments; what cannot work is refused here, before anything runs."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from difflib import get_close_matches
from typing import Any

from ..arguments import R_FORMS, read_r
from ..errors import check_choice, check_number, unusable, wrong
from ..merge.matching.choose import MATCHINGS
from ..mix.mergemix import RATIO_MODES, SELECTIONS
from ..mixers.registry import list_mixers, takes_encoder
from ..preference.loss import PAIR_LOSSES
from .recipe import has_timm_mixup

__all__ = ["check", "is_primary", "merges", "mixes", "mixing_flag", "prefers", "reads", "warn"]

_logger = logging.getLogger(__name__)

OURS = ("merge", "mixer", "preference")  # how our names begin
NEEDED = {"merge": "--merge-r", "mergemix": "--mergemix", "preference": "--preference"}


def merges(args: Namespace) -> bool:
    """Whether tokens merge while the model trains, or is evaluated by a script that does not train."""
    r = read_r(args.merge_r)
    return any(r) if isinstance(r, list) else r not in (None, 0)


def mixes(args: Namespace) -> bool:
    """Whether this library mixes the batches; otherwise the script does what it always does."""
    return args.mergemix > 0 or args.mixer is not None or prefers(args)


def reads(args: Namespace) -> bool:
    """Whether some batches are mixed by attention."""
    if args.mixer is not None:
        return takes_encoder(args.mixer)
    return args.mergemix > 0 and args.mergemix_prob != 0


def mixing_flag(args: Namespace) -> str:
    """The flag that asks for the mixer."""
    return "--mixer" if args.mixer is not None else "--mergemix"


def prefers(args: Namespace) -> bool:
    """Whether there is a preference term."""
    return args.preference > 0


def is_primary(args: Namespace) -> bool:
    """Whether this is the process that logs; before the script knows its rank, as torchrun says."""
    return getattr(args, "rank", int(os.environ.get("RANK", "0"))) == 0


def check(args: Namespace, training: bool) -> None:
    """Raises if what the arguments ask for cannot work.

    Args:
        args: The script's parsed arguments.
        training: Whether the script trains.

    Raises:
        MergeMixError: With the reason.
    """
    _check_types(args, training)
    scripted = getattr(args, "torchscript", False)
    if scripted and (merges(args) or (training and mixes(args))):
        raise unusable("--torchscript", "a scripted model cannot merge, nor be trained on these mixes; leave it out")
    if not training:
        return
    name, path = args.mergemix_encoder, args.mergemix_encoder_checkpoint
    if name is not None and not isinstance(name, str):
        raise wrong("--mergemix-encoder", name, "the name of a timm model")
    if path is not None and not os.path.isfile(path):
        raise wrong("--mergemix-encoder-checkpoint", path, "the path of a file")
    if path and not name:
        raise wrong("--mergemix-encoder-checkpoint", path, "--mergemix-encoder beside it")
    if args.mixer is not None:
        _check_mixer(args)
    if mixes(args):
        _check_mixing(args)


def _check_types(args: Namespace, training: bool) -> None:
    """Values from a YAML file, which argparse takes as they are."""
    _check_r("--merge-r", args.merge_r)
    check_choice("--merge-matching", args.merge_matching, MATCHINGS)
    for name in ("merge_prop_attn", "merge_eval") if training else ("merge_prop_attn",):
        if not isinstance(getattr(args, name), bool):
            raise wrong(_flag(name), getattr(args, name), "true or false")
    if not training:
        return
    _check_r("--mergemix-r", args.mergemix_r)
    for name, choices in (("mergemix_ratio_mode", RATIO_MODES), ("mergemix_select", SELECTIONS)):
        if getattr(args, name) is not None:
            check_choice(_flag(name), getattr(args, name), choices)
    check_choice("--preference-variant", args.preference_variant, PAIR_LOSSES)
    for name in ("mergemix", "preference", "preference_beta", "preference_gamma"):
        check_number(_flag(name), getattr(args, name), 0)
    if args.mergemix_scale is not None:
        check_number("--mergemix-scale", args.mergemix_scale, 0.1, 1)
    if args.preference_beta == 0:
        raise wrong("--preference-beta", args.preference_beta, "a number > 0")
    if args.mergemix_prob is not None:
        check_number("--mergemix-prob", args.mergemix_prob, 0, 1)


def _check_r(flag: str, r: Any) -> None:
    numbers = r if isinstance(r, list) else [] if r is None or isinstance(r, str) else [r]
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        raise wrong(flag, r, R_FORMS)


def _check_mixer(args: Namespace) -> None:
    check_choice("--mixer", args.mixer, [name for name in list_mixers() if name != "mergemix"])
    if args.mergemix > 0 or has_timm_mixup(args):
        raise wrong("--mixer", args.mixer, "none of --mergemix, --mergemix-recipe, --mixup and --cutmix beside it")
    if args.mixup_prob == 0:
        raise wrong("--mixup-prob", args.mixup_prob, "a number > 0, since nothing would be mixed")


def _check_mixing(args: Namespace) -> None:
    if not args.mergemix > 0 and args.mixer is None and not has_timm_mixup(args):
        wanted = "--mergemix, --mixup, --cutmix or --mixer beside it, since the mix is the loser"
        raise wrong("--preference", args.preference, wanted)
    check_number("--mixup-prob", args.mixup_prob, 0, 1)
    if getattr(args, "naflex_loader", False):
        raise unusable("--naflex-loader", "its batches are sequences of patches, which cannot be mixed by images")
    if getattr(args, "jsd_loss", False):
        raise unusable("--jsd-loss", "it compares augmentations of an image with hard labels, a mix has soft ones")
    if getattr(args, "aug_splits", 0) > 0:
        raise wrong("--aug-splits", args.aug_splits, "0, since images of one split may not be mixed with another's")


def warn(args: Namespace, defaults: dict[str, Any]) -> None:
    """Logs flags that have no effect, and keys of a YAML file that look like ours and are not.

    Args:
        args: The script's arguments.
        defaults: What they are where neither a flag nor a YAML file says otherwise.
    """
    for name in sorted(set(vars(args)) - set(defaults)):
        ours = name.startswith(OURS)
        flags = [dest for dest in defaults if dest.startswith(OURS)]
        close = get_close_matches(name, flags, n=1, cutoff=0.6 if ours else 0.85)
        if ours or close:
            hint = f", did you mean {close[0]}?" if close else ""
            _logger.warning(f"{name}: no flag has this name{hint}")
    needed = {"merge": merges(args)}
    if "mergemix" in defaults:
        needed |= {"mergemix": args.mergemix > 0, "preference": prefers(args)}
    for name, is_on in needed.items():
        own = [dest for dest in sorted(defaults) if dest.startswith(f"{name}_") and dest != "merge_r"]
        idle = [dest for dest in own if getattr(args, dest) != defaults[dest]]
        if name == "mergemix" and mixes(args) and reads(args):  # also a mixer by name reads another encoder
            idle = [dest for dest in idle if not dest.startswith("mergemix_encoder")]
        if idle and not is_on:
            _logger.warning(f"{', '.join(map(_flag, idle))}: no effect without {NEEDED[name]}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
