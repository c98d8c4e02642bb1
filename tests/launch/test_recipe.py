from __future__ import annotations

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.launch import recipe as module
from timm_mergemix.launch.recipe import fill
from timm_mergemix.mixers.recipes import find_recipe

from .made import parse

RECIPE = {**find_recipe("scratch"), "prob": 0.8, "mergemix_prob": 0.5, "mixup_alpha": 0.3, "cutmix_alpha": 0.0}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = {"scratch": RECIPE, "finetune": {**RECIPE, "prob": 0.6, "layer": 2}}
    monkeypatch.setattr(module, "find_recipe", lambda name: dict(recipes[name]))


def test_without_mergemix_nothing_is_filled() -> None:
    args = parse("--mixup", "0.8")
    fill(args)
    assert args.mergemix_prob is None and args.mergemix_r is None and args.mixup_prob == 1.0


def test_mergemix_alone_takes_the_recipes_settings() -> None:
    args = parse("--mergemix", "0.7")
    fill(args)
    assert (args.mergemix, args.mergemix_prob, args.mixup, args.cutmix) == (0.7, 0.8, 0, 0)
    assert (args.mergemix_r, args.mergemix_scale, args.mergemix_ratio_mode) == ("keep:0.5", 1.0, "area")
    args = parse("--mergemix", "0.7", "--mixup", "1")
    fill(args)
    assert (args.mergemix_prob, args.mixup, args.mixup_prob) == (0.5, 1.0, 1.0)


def test_a_recipe_switches_everything_on() -> None:
    args = parse("--mergemix-recipe", "scratch")
    fill(args)
    assert (args.mergemix, args.mergemix_prob, args.mixup, args.cutmix) == (1.0, 0.4, 0.3, 0.0)
    # Of 0.6 of the batches that are left two thirds: together 0.8 are mixed.
    assert args.mergemix_prob + (1 - args.mergemix_prob) * args.mixup_prob == pytest.approx(0.8)
    before = dict(vars(args))
    fill(args)
    assert vars(args) == before  # a run from its args.yaml is the same


@pytest.mark.parametrize(
    ("flags", "own", "rest"),
    [
        (["--mixup-prob", "0.2"], 0.4, 0.2),
        (["--mergemix-prob", "0.6"], 0.6, 0.5),  # of 0.4 of the batches half: together 0.8
        (["--mergemix-prob", "0.9"], 0.9, 0.0),
        (["--mergemix-prob", "1"], 1.0, 1.0),
    ],
)
def test_shares_that_are_given_stay(flags: list[str], own: float, rest: float) -> None:
    args = parse("--mergemix-recipe", "scratch", *flags)
    fill(args)
    assert (args.mergemix_prob, args.mixup_prob) == pytest.approx((own, rest))


def test_a_share_that_is_timms_default_stays_where_it_is_given() -> None:
    args = parse("--mergemix-recipe", "scratch", "--mixup-prob", "1")
    fill(args, ["mixup_prob"])
    assert (args.mergemix_prob, args.mixup_prob) == (0.4, 1.0)


def test_without_mixup_mergemix_is_alone() -> None:
    args = parse("--mergemix-recipe", "scratch", "--mixup", "0")
    fill(args, ["mixup"])
    assert (args.mergemix, args.mergemix_prob, args.mixup, args.cutmix) == (1.0, 0.8, 0.0, 0.0)


def test_mergemix_cannot_be_off_beside_a_recipe() -> None:
    args = parse("--mergemix-recipe", "scratch", "--mergemix", "0")
    with pytest.raises(MergeMixError, match=r"--mergemix: got 0\.0, wanted a number > 0, or none, beside"):
        fill(args, ["mergemix"])


def test_what_is_given_comes_first() -> None:
    args = parse("--mergemix-recipe", "finetune", "--mergemix-r", "2", "--mergemix-prob", "0.9", "--cutmix", "0.5")
    fill(args)
    assert (args.mergemix_r, args.mergemix_prob, args.mixup, args.cutmix, args.mixup_prob) == (2, 0.9, 0, 0.5, 1.0)
    assert args.mergemix_layer == 2


def test_pretrained_models_are_fine_tuned() -> None:
    args = parse("--mergemix", "1")
    args.pretrained = True
    fill(args)
    assert (args.mergemix_prob, args.mergemix_layer) == (0.6, 2)


def test_unknown_recipes_of_a_yaml_file() -> None:
    args = parse("--mergemix", "1")
    args.mergemix_recipe = "soup"
    with pytest.raises(MergeMixError, match="--mergemix-recipe: got 'soup', wanted one of 'scratch', 'finetune'"):
        fill(args)
