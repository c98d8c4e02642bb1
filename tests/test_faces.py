"""Every option has the same default and meaning on every face, or an exception with a reason is listed."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.cli import train_options
from timm_mergemix.cli.arguments import COMMANDS
from timm_mergemix.config import Config, flag_names
from timm_mergemix.launch import flags as launch_flags
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mixers.registry import _find
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.saliency.config import SaliencyConfig

from .hostile.models import encoder
from .launch.made import ask, make_parser

MIXING = {**dict.fromkeys(MixConfig.options(), MixConfig), **dict.fromkeys(SaliencyConfig.options(), SaliencyConfig)}
PREFERRING = dict.fromkeys(PreferenceConfig.options(), PreferenceConfig)
OPTIONS: dict[str, type[Config]] = {**MIXING, **{f"preference {name}": PreferenceConfig for name in PREFERRING}}
CLASSES: dict[str, tuple[Callable[..., Any], Mapping[str, type[Config]]]] = {
    "MergeMix": (mm.MergeMix, MIXING),
    "create_mixer mergemix": (_find("mergemix"), MIXING),
    "transforms.MergeMix": (mm.transforms.MergeMix, MIXING),
    "Mixup": (mm.Mixup, MIXING),
    "create_mixer mixup": (_find("mixup"), MIXING),
    "create_mixer cutmix": (_find("cutmix"), MIXING),
    "transforms.Mixup": (mm.transforms.Mixup, MIXING),
    "transforms.CutMix": (mm.transforms.CutMix, MIXING),
    "ResizeMix": (mm.ResizeMix, MIXING),
    "create_mixer resizemix": (_find("resizemix"), MIXING),
    "transforms.ResizeMix": (mm.transforms.ResizeMix, MIXING),
    "PreferenceLoss": (mm.PreferenceLoss, PREFERRING),
    "vlm.SequencePreferenceLoss": (mm.vlm.SequencePreferenceLoss, PREFERRING),
    "PreferenceStep": (mm.PreferenceStep, PREFERRING),
    "MergeMixTask": (mm.MergeMixTask, PREFERRING),
    "vlm.SequencePreferenceStep": (mm.vlm.SequencePreferenceStep, PREFERRING),
    "vlm.MergeMixMixin": (mm.vlm.MergeMixMixin, PREFERRING),
}
ALPHA = "it is called alpha there, as in torchvision's v2.CutMix"
ALONE = "it is the only way of mixing there"
OTHER = "it concerns another way of mixing"
LOSS = "an option of the loss, which is passed separately"
STEP = "an option of the step, not of the loss"
OF_MERGEMIX = ("mergemix_alpha", "mergemix_prob", "ratio_mode", "select", *SaliencyConfig.options())
OF_PEERS = ("mixup_alpha", "cutmix_alpha", "cutmix_minmax", "switch_prob", "correct_lam")
STEPS = ("PreferenceStep", "MergeMixTask", "vlm.SequencePreferenceStep", "vlm.MergeMixMixin")
# Options that a face lacks, with the reason: face -> reason -> options.
LACKING: dict[str, dict[str, tuple[str, ...]]] = {
    "transforms.MergeMix": {ALPHA: ("mergemix_alpha",), ALONE: ("mergemix_prob",), OTHER: OF_PEERS},
    **{face: {OTHER: OF_MERGEMIX} for face in ("Mixup", "create_mixer mixup", "create_mixer cutmix")},
    "transforms.Mixup": {ALPHA: ("mixup_alpha",), ALONE: ("switch_prob",), OTHER: (*OF_MERGEMIX, *OF_PEERS)},
    "transforms.CutMix": {
        ALPHA: ("cutmix_alpha",),
        ALONE: ("switch_prob",),
        OTHER: (*OF_MERGEMIX, "mixup_alpha"),
    },
    **{
        face: {OTHER: (*OF_MERGEMIX, *OF_PEERS)}
        for face in ("ResizeMix", "create_mixer resizemix", "transforms.ResizeMix")
    },
    **{face: {STEP: ("saliency",)} for face in ("PreferenceLoss", "vlm.SequencePreferenceLoss")},
    **{face: {LOSS: tuple(name for name in PREFERRING if name != "saliency")} for face in STEPS},
}
V2 = "as torchvision's v2.MixUp and v2.CutMix"
TIMM = "as timm.data.Mixup"
# Defaults that differ between faces, with the reason.
OTHERWISE: dict[str, dict[str, tuple[Any, str]]] = {
    **{f"transforms.{name}": {"label_smoothing": (0.0, V2)} for name in ("MergeMix", "Mixup", "CutMix", "ResizeMix")},
    **{face: {"mixup_alpha": (1.0, TIMM), "cutmix_alpha": (0.0, TIMM)} for face in ("Mixup", "create_mixer mixup")},
    "create_mixer cutmix": {"mixup_alpha": (0.0, ALONE), "cutmix_alpha": (1.0, ALONE)},
}
STATISTICS = "the statistics of the model's data config are used there"
FOLDERS = "images in a folder have one class each"
# Options without a flag on any command line.
NO_FLAG = {
    **dict.fromkeys(("image_mean", "image_std", "encoder_mean", "encoder_std"), STATISTICS),
    "multi_label": FOLDERS,
    **dict.fromkeys(("preference detach_winner", "preference detach_loser"), "for studies"),
}
NOT_LAUNCHED = {"preference saliency": "a step of the script is one pass of one batch"}


def lacks(face: str) -> dict[str, str]:
    return {option: why for why, options in LACKING.get(face, {}).items() for option in options}


def defaults(config: type[Config]) -> dict[str, Any]:
    return {each.name: each.default for each in fields(config)}


def on_classes() -> list[tuple[str, str]]:
    return [(face, option) for face, (_, options) in CLASSES.items() for option in options]


@pytest.mark.parametrize(("face", "option"), on_classes())
def test_each_face_has_each_option_with_its_default_or_a_listed_exception(face: str, option: str) -> None:
    function, options = CLASSES[face]
    parameter = inspect.signature(function).parameters.get(option)
    if option in lacks(face):
        assert parameter is None, f"{face} has {option} now: remove it from LACKING"
        return
    assert parameter is not None, f"{face} has no {option}"
    default, _ = OTHERWISE.get(face, {}).get(option, (defaults(options[option])[option], ""))
    assert parameter.default == default


def test_the_exceptions_name_existing_faces_and_options() -> None:
    assert set(LACKING) | set(OTHERWISE) <= set(CLASSES)
    for face, (_, options) in CLASSES.items():
        assert set(lacks(face)) | set(OTHERWISE.get(face, {})) <= set(options)
    assert set(NO_FLAG) | set(NOT_LAUNCHED) <= set(OPTIONS)


def flag_of(option: str) -> str | None:
    name = option.removeprefix("preference ")
    return flag_names(OPTIONS[option]).get(name)


def parsers() -> dict[str, argparse.ArgumentParser]:
    train = argparse.ArgumentParser()
    COMMANDS["train"].add_arguments(train)
    return {"train": train, "launcher": make_parser()}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("face", ["train", "launcher"])
def test_each_option_has_the_same_flag_on_both_command_lines_or_a_listed_exception(face: str, option: str) -> None:
    flag = flag_of(option)
    assert (flag is None) == (option in NO_FLAG)
    known = {name for action in parsers()[face]._actions for name in action.option_strings}
    wanted = flag is not None and not (face == "launcher" and option in NOT_LAUNCHED)
    assert (flag in known) == wanted


# For each option with a flag, a value that is not its default and the words that set it.
WORDS: dict[str, tuple[Any, str]] = {
    "mergemix_alpha": (0.7, "0.7"),
    "mixup_alpha": (0.3, "0.3"),
    "cutmix_alpha": (0.4, "0.4"),
    "cutmix_minmax": ([0.2, 0.8], "0.2 0.8"),
    "prob": (0.9, "0.9"),
    "mergemix_prob": (0.6, "0.6"),
    "switch_prob": (0.1, "0.1"),
    "mode": ("elem", "elem"),
    "correct_lam": (False, ""),
    "ratio_mode": ("gaussian", "gaussian"),
    "select": ("both", "both"),
    "label_smoothing": (0.3, "0.3"),
    "saliency_r": ("total:4", "total:4"),
    "saliency_scale": (0.5, "0.5"),
    "layer": (0, "0"),
    "divide": (False, ""),
    "preference beta": (2.0, "2"),
    "preference gamma": (0.5, "0.5"),
    "preference weight": (0.2, "0.2"),
    "preference variant": ("hinge", "hinge"),
    "preference saliency": ("separate", "separate"),
}


def words_of(option: str) -> list[str]:
    value, words = WORDS[option]
    flag = str(flag_of(option))
    return [flag.replace("--", "--no-", 1)] if value is False else [flag, *words.split()]


@pytest.mark.parametrize("option", WORDS)
def test_flags_of_train_reach_the_mixer_and_the_loss(option: str) -> None:
    base = ["--data", "d", "--model", "m", "--mixer", "mergemix"]
    beside = ["--preference", "1"] if option.startswith("preference ") and option != "preference weight" else []
    parser = parsers()["train"]
    chosen = train_options.choose(parser.parse_args([*base, *beside, *words_of(option)]))
    name = option.removeprefix("preference ")
    found = vars(chosen.preference)[name] if option.startswith("preference ") else chosen.mixing[name]
    assert found == WORDS[option][0]


@pytest.mark.parametrize("option", [option for option in WORDS if option not in NOT_LAUNCHED])
def test_flags_of_the_launcher_reach_the_mixer_and_the_loss(option: str) -> None:
    beside = [] if option == "mergemix_alpha" else ["--mergemix", "1"]
    beside += ["--preference", "1"] if option.startswith("preference ") and option != "preference weight" else []
    request = ask(*beside, *words_of(option))
    source: Any = {MixConfig: request.mix, SaliencyConfig: request.saliency, PreferenceConfig: request.preference}
    assert getattr(source[OPTIONS[option]], option.removeprefix("preference ")) == WORDS[option][0]


def test_each_option_with_a_flag_is_in_the_table_of_words() -> None:
    assert set(WORDS) == {option for option in OPTIONS if flag_of(option) is not None}
    assert set(launch_flags.FLAGS.values()) >= {flag_of(option) for option in WORDS}


# Other arguments that make two faces mix alike.
ALONE_AS_MERGEMIX = {"mergemix_prob": 1.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0, "label_smoothing": 0.0}
SAME: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "create_mixer mergemix": ("MergeMix", {}, {}),
    "create_mixer mixup": ("Mixup", {}, {}),
    "create_mixer cutmix": ("Mixup", {}, {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}),
    "create_mixer resizemix": ("ResizeMix", {}, {}),
    "transforms.MergeMix": ("MergeMix", {}, ALONE_AS_MERGEMIX),
    "transforms.Mixup": ("Mixup", {}, {"label_smoothing": 0.0}),
    "transforms.CutMix": ("Mixup", {}, {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "label_smoothing": 0.0}),
    "transforms.ResizeMix": ("ResizeMix", {}, {"label_smoothing": 0.0}),
}
VALUES: dict[str, Any] = {option: value for option, (value, _) in WORDS.items() if option in MIXING} | {
    "multi_label": True,
    "layer": 0,
    "saliency_r": 2,
    "image_mean": (0.1, 0.2, 0.3),
    "image_std": (0.1, 0.2, 0.3),
    "encoder_mean": (0.3, 0.2, 0.1),
    "encoder_std": (0.3, 0.2, 0.1),
}
BESIDE = {"image_mean": "image_std", "image_std": "image_mean", "encoder_mean": "encoder_std"}
BESIDE["encoder_std"] = "encoder_mean"


def mixed_by(face: str, options: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 1, 2, 4, 0])
    labels = torch.eye(5)[labels] if options.get("multi_label") else labels
    first = {"encoder": encoder()} if "encoder" in inspect.signature(CLASSES[face][0]).parameters else {}
    mixer = CLASSES[face][0](**first, num_classes=5, **options)
    torch.manual_seed(3)
    mixed, targets = mixer(images, labels)
    return mixed, targets


def same_pairs() -> list[tuple[str, str]]:
    return [
        (face, option)
        for face, (other, *_) in SAME.items()
        for option in VALUES
        if all(option in inspect.signature(CLASSES[each][0]).parameters for each in (face, other))
    ]


@pytest.mark.parametrize(("face", "option"), same_pairs())
def test_an_option_means_the_same_on_both_faces(face: str, option: str) -> None:
    other, own, base = SAME[face]
    options = {option: VALUES[option]}
    if option in BESIDE:
        options[BESIDE[option]] = VALUES[BESIDE[option]]
    for got, wanted in zip(mixed_by(face, own | options), mixed_by(other, base | options), strict=True):
        assert torch.equal(got, wanted)


def checked() -> list[tuple[str, str]]:
    """The part of a face that checks its arguments; a mixin must precede a trainer."""
    return [(face, option) for face, option in on_classes() if option not in lacks(face) and "Mixin" not in face]


@pytest.mark.parametrize(("face", "option"), checked())
def test_an_invalid_value_of_an_option_is_refused_by_name(face: str, option: str) -> None:
    if face == "MergeMixTask":
        pytest.importorskip("timm.task")
    function, _ = CLASSES[face]
    needed: dict[str, Any] = {"encoder": encoder(), "num_classes": 5, "model": encoder(), "mixer": None, "loss": None}
    parameters = inspect.signature(function).parameters
    given = {name: value for name, value in needed.items() if name in parameters}
    if face in STEPS:
        vlm = face.startswith("vlm.")
        given["loss"] = mm.vlm.SequencePreferenceLoss() if vlm else mm.PreferenceLoss()
        given["mixer"] = mm.vlm.ImageMixer(kind="cutmix") if vlm else mm.Mixup(num_classes=5)
        given = {name: value for name, value in given.items() if name in parameters}
    with pytest.raises(MergeMixError) as raised:
        function(**given, **{option: object()})
    assert option in raised.value.argument
