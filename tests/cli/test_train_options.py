import argparse

import pytest

from timm_mergemix.cli.train_options import add_arguments, mixing_of, preference_of, recipe_of
from timm_mergemix.errors import MergeMixError
from timm_mergemix.training.mixers import MixOptions
from timm_mergemix.training.objective import PreferenceOptions
from timm_mergemix.training.optim import Recipe


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--data", "d", "--model", "m", *argv])


def test_defaults() -> None:
    args = parse()
    assert recipe_of(args) == Recipe(epochs=100, warmup_epochs=5)
    assert mixing_of(args) == MixOptions.of("scratch")
    args.mixer = "timm"
    assert mixing_of(args) == MixOptions()
    assert preference_of(args) == PreferenceOptions()
    assert args.merge_r is None and args.model_kwargs == {}


def test_values() -> None:
    args = parse(
        *(
            "--lr",
            "0.01",
            "--clip-grad",
            "0",
            "--mix-prob",
            "0.3",
            "--mixup-alpha",
            "0",
            "--saliency-r",
            "decreasing:2",
            *("--ratio-mode", "attention", "--select", "both", "--layer", "-1"),
        ),
        *("--model-kwargs", "depth=3", "global_pool=avg"),
    )
    assert (recipe_of(args).lr, recipe_of(args).clip_grad) == (0.01, None)
    assert (mixing_of(args).prob, mixing_of(args).mixup_alpha) == (0.3, 0.0)
    assert mixing_of(args).saliency_r == ("decreasing", 2)
    assert (mixing_of(args).ratio_mode, mixing_of(args).select, mixing_of(args).layer) == ("attention", "both", -1)
    assert args.model_kwargs == {"depth": 3, "global_pool": "avg"}


def test_values_of_the_preference() -> None:
    args = parse(
        *("--preference", "0.5", "--preference-beta", "2", "--preference-gamma", "0.25"),
        *("--preference-variant", "hinge", "--preference-saliency", "winner"),
    )
    assert preference_of(args) == PreferenceOptions(0.5, 2.0, 0.25, "hinge", "winner")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mixer", "mixup", "--cutmix-alpha", "1"], "cutmix_alpha: got 1.0, wanted none, since the mixer is mixup"),
        (["--mixer", "none", "--mix-prob", "0.5"], "mix_prob: got 0.5, wanted none, since the mixer is none"),
        (["--mixer", "timm", "--layer", "9"], "layer: got 9, wanted none, since the mixer is timm"),
        (["--mixer", "resizemix", "--mixup-alpha", "1"], "mixup_alpha: got 1.0, wanted none, since the mixer is"),
    ],
)
def test_options_without_effect_on_the_mixer_are_refused(flags: list[str], message: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{message}"):
        mixing_of(parse(*flags))


@pytest.mark.parametrize("flag", [("beta", "3"), ("gamma", "0"), ("variant", "hinge"), ("saliency", "winner")])
def test_options_of_a_preference_that_is_off_are_refused(flag: tuple[str, str]) -> None:
    with pytest.raises(MergeMixError, match=rf"^preference_{flag[0]}: got .*, wanted none without --preference WEIGHT"):
        preference_of(parse(f"--preference-{flag[0]}", flag[1]))


def test_recipes_are_of_mergemix() -> None:
    with pytest.raises(MergeMixError, match="recipe: got 'scratch', wanted none, since the mixer is timm"):
        mixing_of(parse("--recipe", "scratch", "--mixer", "timm"))
