"""The arguments of a script -> what the run is asked to do. Nothing after this asks the arguments for our flags."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..config import Config, flag_names, given_flags
from ..errors import check_choice, named, wrong
from ..merge.config import MergeConfig
from ..merge.schedule import R, read_r
from ..mix.config import MixConfig
from ..preference.config import PAIR_LOSSES, PreferenceConfig
from ..saliency.config import SaliencyConfig
from .flags import FLAGS, SCRIPT_FIELDS, LaunchConfig, dest
from .recipe import OFF, fill
from .refusals import refuse
from .request import Request

__all__ = ["plain", "read_request"]

DATA = ("chans", "in_chans", "input_size", "img_size", "mean", "std")
BCE = {"target_threshold": "bce_target_thresh", "sum_classes": "bce_sum", "pos_weight": "bce_pos_weight"}


def read_request(args: Namespace, training: bool, given: Collection[str] = ()) -> Request:
    """Reads the arguments of a script, and writes into them what is in force where nothing was given.

    Args:
        args: The parsed arguments.
        training: Whether the script trains.
        given: Which of `timm_mergemix.launch.parsing.MARKED` were given.

    Raises:
        MergeMixError: If a value cannot be used or what is asked for cannot work; the argument is the flag.
    """
    with named(**FLAGS):
        merge = _read_merge(args)
        request = _read_training(args, merge, given) if training else Request(training, merge)
        refuse(args, request)
    return request


def _read_merge(args: Namespace) -> MergeConfig | None:
    merge: MergeConfig = MergeConfig.of(given_flags(args, MergeConfig))
    if not _merges(merge.r):
        return None
    _write(args, merge)
    return merge


def _read_training(args: Namespace, merge: MergeConfig | None, given: Collection[str]) -> Request:
    launch: LaunchConfig = LaunchConfig.of(given_flags(args, LaunchConfig))
    if launch.encoder_checkpoint and not launch.encoder:
        raise wrong("encoder_checkpoint", launch.encoder_checkpoint, f"{FLAGS['encoder']} beside it")
    preference = _read_preference(args)
    values = _mixing_values(args)
    fields = {name for name in OFF if dest(name) in given}
    if launch.recipe is not None and "mergemix_alpha" in fields and values["mergemix_alpha"] == 0:
        raise wrong("mergemix_alpha", values["mergemix_alpha"], f"a number > 0, or none, beside {FLAGS['recipe']}")
    if values["mergemix_alpha"] > 0 or launch.recipe is not None:
        mixing = _read_mergemix(args, values, fields, launch.recipe)
    elif launch.mixer is not None or preference is not None:
        mixing = {"mix": MixConfig.of(values)}
    else:
        mixing = {}
    if merge is not None:
        setattr(args, dest("merge_eval"), launch.merge_eval)
    request = Request(
        training=True,
        merge=merge,
        merge_eval=launch.merge_eval,
        mixer=launch.mixer,
        preference=preference,
        **mixing,
        **_script_settings(args),
    )
    if not request.reads:
        return request
    return replace(request, encoder=launch.encoder or None, encoder_checkpoint=launch.encoder_checkpoint)


def _read_mergemix(
    args: Namespace, values: Mapping[str, Any], given: Collection[str], recipe: str | None
) -> dict[str, Any]:
    """What a `Request` says of MergeMix, which is on."""
    kind = "finetune" if getattr(args, "pretrained", False) else "scratch"
    filled = fill(values, given, recipe, kind)
    mix, saliency = MixConfig.of(filled), SaliencyConfig.of(filled)
    _write(args, mix)
    _write(args, saliency)
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


def _mixing_values(args: Namespace) -> dict[str, Any]:
    """The fields of `MixConfig` and `SaliencyConfig` that flags set, ours checked; the script's are checked if used."""
    values = {**OFF, **given_flags(args, MixConfig), **given_flags(args, SaliencyConfig)}
    MixConfig.check({name: value for name, value in values.items() if name not in SCRIPT_FIELDS})
    SaliencyConfig.check(values)
    return values


def _read_preference(args: Namespace) -> PreferenceConfig | None:
    values = {name: value for name, value in given_flags(args, PreferenceConfig).items() if name != "saliency"}
    PreferenceConfig.check(values)
    if "variant" in values:
        check_choice("variant", values["variant"], PAIR_LOSSES)
    if not values.get("weight"):
        return None
    preference: PreferenceConfig = PreferenceConfig.of(values)
    _write(args, preference)
    return preference


def _read_bce(args: Namespace) -> dict[str, Any] | None:
    if not getattr(args, "bce_loss", False):
        return None
    values = {name: getattr(args, attribute, None) for name, attribute in BCE.items()}
    return {**values, "sum_classes": bool(values["sum_classes"]), "smoothing": 0.0}


def _differences(values: Mapping[str, Any], *configs: Config) -> dict[str, Any]:
    """By flag, what the configs have that neither flags nor defaults say."""
    return {
        FLAGS[name]: getattr(config, name)
        for config in configs
        for name in flag_names(type(config))
        if getattr(config, name) != values.get(name, getattr(type(config), name))
    }


def _merges(r: R) -> bool:
    value = read_r(r) if isinstance(r, str) else r
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return any(number for number in numbers if not isinstance(number, str))


def _write(args: Namespace, config: Config) -> None:
    """The values in force, so that ``args.yaml`` has them."""
    for name in flag_names(type(config)):
        if hasattr(args, dest(name)):
            setattr(args, dest(name), plain(getattr(config, name)))


def plain(value: Any) -> Any:
    """A value as YAML knows it."""
    if isinstance(value, tuple):
        return ":".join(map(str, value)) if isinstance(value[0], str) else list(value)
    return value
