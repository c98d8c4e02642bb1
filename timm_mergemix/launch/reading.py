"""Turns the arguments of a script into a request, and writes the settings in force back into the arguments."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..config import Config, flag_names
from ..errors import check_choice, named, wrong
from ..merge.config import MergeConfig
from ..mix.config import MixConfig
from ..preference.config import PAIR_LOSSES, PreferenceConfig
from ..saliency.config import SaliencyConfig
from .flags import FLAGS, SCRIPT_FIELDS, LaunchConfig, dest
from .parsing import Parsed
from .recipe import OFF, fill
from .refusals import refuse
from .request import Request

__all__ = ["plain", "read_request", "write_back"]

DATA = ("chans", "in_chans", "input_size", "img_size", "mean", "std")
BCE = {"target_threshold": "bce_target_thresh", "sum_classes": "bce_sum", "pos_weight": "bce_pos_weight"}


def read_request(parsed: Parsed, training: bool) -> Request:
    """Reads a request from the parsed arguments without changing them.

    Args:
        parsed: What came of the command line.
        training: Whether the script trains.

    Raises:
        MergeMixError: If a value cannot be used or what is asked for cannot work; the argument is the flag.
    """
    with named(**FLAGS):
        merge: MergeConfig = MergeConfig.of(parsed.ours)
        request = Request(training, merge if merge.merges else None)
        if training:
            request = _read_training(parsed, request)
        refuse(parsed.args, request)
    return request


def write_back(args: Namespace, request: Request) -> None:
    """Writes the settings in force into a script's arguments, so that ``args.yaml`` has them."""
    mixes = request.mix is not None and request.mix.mergemix_alpha > 0
    mixing = (request.mix, request.saliency) if mixes else ()
    for config in (request.merge, request.preference, *mixing):
        for name in flag_names(type(config)) if config is not None else ():
            if hasattr(args, dest(name)):
                setattr(args, dest(name), plain(getattr(config, name)))
    if request.training and request.merge is not None:
        setattr(args, dest("merge_eval"), request.merge_eval)


def _read_training(parsed: Parsed, request: Request) -> Request:
    args, launch = parsed.args, LaunchConfig.of(parsed.ours)
    if launch.encoder_checkpoint and not launch.encoder:
        raise wrong("encoder_checkpoint", launch.encoder_checkpoint, f"{FLAGS['encoder']} together with it")
    preference = _read_preference(parsed.ours)
    values = _mixing_values(parsed.ours)
    fields = {name for name in OFF if dest(name) in parsed.given}
    if launch.recipe is not None and "mergemix_alpha" in fields and values["mergemix_alpha"] == 0:
        raise wrong("mergemix_alpha", values["mergemix_alpha"], f"a number > 0, or no value, with {FLAGS['recipe']}")
    mixing: dict[str, Any] = {}
    if values["mergemix_alpha"] > 0 or launch.recipe is not None:
        kind = "finetune" if getattr(args, "pretrained", False) else "scratch"
        mixing = _read_mergemix(values, fields, launch.recipe, kind)
    elif launch.mixer is not None or preference is not None:
        mixing = {"mix": MixConfig.of(values)}
    request = replace(
        request,
        merge_eval=launch.merge_eval,
        mixer=launch.mixer,
        preference=preference,
        **mixing,
        **_script_settings(args),
    )
    if not request.reads:
        return request
    return replace(request, encoder=launch.encoder or None, encoder_checkpoint=launch.encoder_checkpoint)


def _read_mergemix(values: Mapping[str, Any], given: Collection[str], recipe: str | None, kind: str) -> dict[str, Any]:
    """Returns the fields of a `Request` that concern MergeMix, when it is on."""
    filled = fill(values, given, recipe, kind)
    mix, saliency = MixConfig.of(filled), SaliencyConfig.of(filled)
    sets = _differences(values, mix, saliency)
    return {"mix": mix, "saliency": saliency, "recipe": recipe or (kind if sets else ""), "recipe_sets": sets}


def _script_settings(args: Namespace) -> dict[str, Any]:
    return {
        "seed": getattr(args, "seed", 0),
        "num_classes": getattr(args, "num_classes", None),
        "mixup_off_epoch": getattr(args, "mixup_off_epoch", 0),
        "bce": _read_bce(args),
        "data": {name: getattr(args, name, None) for name in DATA},
    }


def _mixing_values(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of `MixConfig` and `SaliencyConfig` that flags set. Fields with a flag of ours are checked."""
    names = {*MixConfig.options(), *SaliencyConfig.options()}
    values = {**OFF, **{name: value for name, value in ours.items() if name in names}}
    MixConfig.check({name: value for name, value in values.items() if name not in SCRIPT_FIELDS})
    SaliencyConfig.check(values)
    return values


def _read_preference(ours: Mapping[str, Any]) -> PreferenceConfig | None:
    values = {name: value for name, value in ours.items() if name in PreferenceConfig.options() and name != "saliency"}
    PreferenceConfig.check(values)
    if "variant" in values:
        check_choice("variant", values["variant"], PAIR_LOSSES)
    if not values.get("weight"):
        return None
    return PreferenceConfig(**values)


def _read_bce(args: Namespace) -> dict[str, Any] | None:
    if not getattr(args, "bce_loss", False):
        return None
    values = {name: getattr(args, attribute, None) for name, attribute in BCE.items()}
    return {**values, "sum_classes": bool(values["sum_classes"]), "smoothing": 0.0}


def _differences(values: Mapping[str, Any], *configs: Config) -> dict[str, Any]:
    """Returns, by flag, the values of configs that come neither from flags nor from defaults."""
    return {
        FLAGS[name]: getattr(config, name)
        for config in configs
        for name in flag_names(type(config))
        if getattr(config, name) != values.get(name, getattr(type(config), name))
    }


def plain(value: Any) -> Any:
    """Converts a value to one that YAML can write."""
    if isinstance(value, tuple):
        return ":".join(map(str, value)) if isinstance(value[0], str) else list(value)
    return value
