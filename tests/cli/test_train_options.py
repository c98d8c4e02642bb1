"""The options of `timm-mergemix train` are those of the configs, with the flags of the launcher."""

import argparse
from typing import Any

import pytest

from timm_mergemix.cli.arguments import COMMANDS
from timm_mergemix.cli.train_options import FLAGS, Chosen, choose
from timm_mergemix.config import flag_names
from timm_mergemix.errors import MergeMixError
from timm_mergemix.merge.config import MergeConfig
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.training.mixers import mix_settings
from timm_mergemix.training.optim import Optimisation


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    COMMANDS["train"].add_arguments(made)
    return made


def chosen(*argv: str) -> Chosen:
    return choose(parser().parse_args(["--data", "d", "--model", "m", *argv]))


def test_every_option_of_a_config_has_its_flag_and_a_help_text() -> None:
    text = parser().format_help()
    for flag in flag_names(MergeConfig, MixConfig, SaliencyConfig, PreferenceConfig).values():
        assert f"\n  {flag}" in text, flag
    assert set(FLAGS) > set(flag_names(Optimisation)) > {"epochs", "lr", "clip_grad"}


def test_defaults() -> None:
    nothing = chosen()
    assert nothing == (Optimisation(), MergeConfig(), mix_settings("mergemix", {}), PreferenceConfig(weight=0.0))
    assert chosen("--mixer", "timm").mixing == mix_settings("timm", {})


@pytest.mark.parametrize(
    ("argv", "recipe"),
    [
        ([], "scratch"),
        (["--pretrained"], "finetune"),
        (["--weights", "file"], "finetune"),
        (["--mergemix-recipe", "finetune"], "finetune"),
        (["--pretrained", "--mergemix-recipe", "scratch"], "scratch"),
    ],
)
def test_the_recipe_follows_from_the_weights_unless_it_is_given(argv: list[str], recipe: str) -> None:
    assert chosen(*argv).mixing == mix_settings("mergemix", {}, recipe)


def test_values() -> None:
    asked = chosen(
        *("--lr", "0.01", "--clip-grad", "0", "--warmup", "3", "--smoothing", "0.2"),
        *("--mixup-prob", "0.3", "--mixup", "0", "--cutmix-minmax", "0.2", "0.8", "--mixup-mode", "elem"),
        *("--saliency-r", "decreasing:2", "--ratio-mode", "attention", "--layer", "-1", "--no-divide"),
        *("--merge-r", "keep:0.5", "--merge-matching", "pitome", "--no-merge-prop-attn"),
    )
    assert asked.optimisation == Optimisation(lr=0.01, clip_grad=0.0, warmup_epochs=3, smoothing=0.2)
    assert asked.merging == MergeConfig("keep:0.5", False, "pitome")
    given: dict[str, Any] = {"prob": 0.3, "mixup_alpha": 0.0, "cutmix_minmax": [0.2, 0.8], "mode": "elem"}
    given |= {"saliency_r": "decreasing:2", "ratio_mode": "attention", "layer": -1, "divide": False}
    assert asked.mixing == mix_settings("mergemix", {**given, "label_smoothing": 0.2})


def test_options_outside_the_configs() -> None:
    args = parser().parse_args(["--data", "d", "--model", "m", "--model-kwargs", "depth=3", "global_pool=avg"])
    assert args.model_kwargs == {"depth": 3, "global_pool": "avg"}


def test_values_of_the_preference() -> None:
    asked = chosen(
        *("--preference", "0.5", "--preference-beta", "2", "--preference-gamma", "0.25"),
        *("--preference-variant", "hinge", "--preference-saliency", "winner"),
    )
    assert asked.preference == PreferenceConfig(2.0, 0.25, 0.5, "hinge", "winner")


def test_the_values_in_force_are_named_after_their_flags() -> None:
    default = chosen().in_force()
    names = {"epochs", "warmup", "beta2", "merge_r", "mergemix", "mixup", "mixup_prob", "smoothing", "ratio_mode"}
    assert names | {"saliency_r", "preference", "preference_beta"} <= set(default)
    assert (default["mixup_prob"], default["saliency_r"], default["preference"]) == (0.5, "keep:0.5", 0.0)
    given = ("--mixup-prob", "0.5", "--saliency-r", "keep:0.5", "--preference", "0", "--merge-r", "0")
    assert {**chosen(*given).in_force(), "merge_r": 0} == default
    assert chosen("--mixer", "none").in_force()["smoothing"] == 0.1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--mixer", "resizemix", "--cutmix", "1"], "cutmix_alpha: got 1.0, wanted none, since the mixer is resizemix"),
        (["--mixer", "none", "--mixup-prob", "0.5"], "prob: got 0.5, wanted none, since the mixer is none"),
        (["--mixer", "timm", "--layer", "9"], "layer: got 9, wanted none, since the mixer is timm"),
        (["--mixer", "timm", "--no-divide"], "--no-divide: got False, wanted none, since the mixer is timm"),
        (["--mixer", "timm", "--mergemix-recipe", "scratch"], "mergemix_recipe: got 'scratch', wanted none, since the"),
    ],
)
def test_options_without_effect_on_the_mixer_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{message}"):
        chosen(*argv)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["--preference-beta", "3"], "--preference-beta"),
        (["--preference-gamma", "0"], "--preference-gamma"),
        (["--preference-variant", "hinge", "--preference", "0"], "--preference-variant"),
        (["--preference-saliency", "winner"], "--preference-saliency"),
        (["--merge-matching", "pitome"], "--merge-matching"),
        (["--no-merge-prop-attn", "--merge-r", "0"], "--no-merge-prop-attn"),
        (["--no-merge-prop-attn", "--merge-r", "total:0"], "--no-merge-prop-attn"),
    ],
)
def test_options_of_a_disabled_feature_are_refused(argv: list[str], name: str) -> None:
    with pytest.raises(MergeMixError, match=rf"^{name}: got .*, wanted none without --(preference WEIGHT|merge-r R)$"):
        chosen(*argv)
