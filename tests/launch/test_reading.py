"""Arguments are read as a request: what is asked for, what is refused under its flag, and what args.yaml says after."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from timm_mergemix import MergeMixError
from timm_mergemix.launch.reading import plain, read_request
from timm_mergemix.launch.request import Request
from timm_mergemix.merge.config import MergeConfig
from timm_mergemix.preference.config import PreferenceConfig

from .made import ask, in_force, parse


@pytest.mark.parametrize(
    ("flags", "merges", "mixes", "prefers"),
    [
        ([], False, False, False),
        (["--merge-r", "0", "--mergemix", "0", "--preference", "0"], False, False, False),
        (["--merge-r", "0,0,0"], False, False, False),
        (["--merge-r", "total:0"], False, False, False),
        (["--merge-r", "2"], True, False, False),
        (["--merge-r", "keep:0.5"], True, False, False),
        (["--merge-r", "0,1,0"], True, False, False),
        (["--mergemix", "1"], False, True, False),
        (["--preference", "1", "--mixup", "0.8"], False, True, True),
        (["--preference", "1", "--mixer", "resizemix"], False, True, True),
        (["--mixup", "0.8", "--cutmix-minmax", "0.2", "0.8"], False, False, False),
    ],
)
def test_what_is_asked_for(flags: list[str], merges: bool, mixes: bool, prefers: bool) -> None:
    request = ask(*flags)
    found = (request.merge is not None, request.mix is not None, request.preference is not None)
    assert found == (merges, mixes, prefers)


def test_the_settings_arrive() -> None:
    flags = "--merge-r 2 --no-merge-eval --merge-matching kth --mergemix 0.7 --saliency-r 2 --layer 0 --select both"
    flags += " --saliency-scale 0.5 --no-divide --no-correct-lam --preference 0.5 --preference-beta 2 --seed 3"
    request = ask(*flags.split(), "--smoothing", "0.2", "--mixup-mode", "pair", "--mixup-off-epoch", "5")
    assert request.merge == MergeConfig("2", True, "kth")
    assert not request.merge_eval
    assert request.mix is not None
    assert (request.mix.mergemix_alpha, request.mix.select, request.mix.correct_lam) == (0.7, "both", False)
    assert (request.mix.label_smoothing, request.mix.mode) == (0.2, "pair")
    saliency = request.saliency
    assert (saliency.saliency_r, saliency.layer, saliency.saliency_scale, saliency.divide) == ("2", 0, 0.5, False)
    assert request.preference == PreferenceConfig(beta=2.0, weight=0.5)
    assert (request.seed, request.num_classes, request.mixup_off_epoch) == (3, 4, 5)
    assert request.data["mean"] == [0.5, 0.5, 0.5]


def test_yaml_values_are_taken_as_yaml_has_them() -> None:
    request = ask(mergemix=1, merge_r=[2, 1, 0], saliency_r="total:4", mergemix_prob=1, divide=False, layer="pool")
    assert request.merge == MergeConfig([2, 1, 0])
    assert request.mix is not None and request.mix.mergemix_prob == 1
    assert (request.saliency.saliency_r, request.saliency.divide, request.saliency.layer) == ("total:4", False, "pool")


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ({"merge_eval": "no"}, "--merge-eval: got 'no', wanted True or False"),
        ({"merge_prop_attn": 1}, "--merge-prop-attn: got 1, wanted True or False"),
        ({"merge_r": 2.5}, "--merge-r: got 2.5, wanted an int per block"),
        ({"merge_r": True}, "--merge-r: got True, wanted an integer"),
        ({"saliency_r": [1, "x"]}, "--saliency-r: got .1, 'x'., wanted an int"),
        ({"merge_matching": "nearest"}, "--merge-matching: got 'nearest'"),
        ({"ratio_mode": "patches"}, "--ratio-mode: got 'patches'"),
        ({"select": "all"}, "--select: got 'all'"),
        ({"divide": 1}, "--divide: got 1, wanted True or False"),
        ({"layer": 1.5}, "--layer: got 1.5, wanted the index of a block"),
        ({"saliency_scale": 0.01}, "--saliency-scale: got 0.01, wanted a finite number from 0.1 to 1"),
        ({"preference_variant": "dpo"}, "--preference-variant: got 'dpo', wanted one of 'simpo', 'hinge'$"),
        ({"mergemix": [1]}, "--mergemix: got .1."),
        ({"mergemix_encoder": 5}, "--mergemix-encoder: got 5, wanted the name"),
        ({"mergemix_encoder_checkpoint": 5}, "--mergemix-encoder-checkpoint: got 5, wanted the path"),
        ({"mergemix_recipe": "soup"}, "--mergemix-recipe: got 'soup', wanted one of 'scratch', 'finetune'"),
        ({"mixer": "resizemx"}, "--mixer: got 'resizemx', wanted one of 'cutmix', 'mixup', 'resizemix'"),
        ({"preference": "much"}, "invalid float value"),
        ({"mergemix": 1, "mixup_mode": "triple"}, "--mixup-mode: got 'triple'"),
        ({"mergemix": 1, "cutmix_minmax": [0.2]}, "--cutmix-minmax: got .0.2., wanted two shares"),
    ],
)
def test_yaml_values_are_checked_under_the_name_of_their_flag(
    yaml: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((MergeMixError, SystemExit)) as refused:
        ask(**yaml)
    assert re.search(message, str(refused.value) + capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mergemix", "-1"], "--mergemix: got -1.0"),
        (["--mergemix", "nan"], "--mergemix: got nan"),
        (["--preference", "-1", "--mixup", "1"], "--preference: got -1.0"),
        (["--preference-gamma", "-1"], "--preference-gamma: got -1.0"),
        (["--preference-beta", "0"], "--preference-beta: got 0.0"),
        (["--mergemix-prob", "1.5"], "--mergemix-prob: got 1.5"),
        (["--mergemix", "1", "--mixup-prob", "2"], "--mixup-prob: got 2.0"),
        (["--mergemix", "1", "--smoothing", "1.5"], "--smoothing: got 1.5"),
        (["--mergemix-encoder-checkpoint", __file__], "--mergemix-encoder-checkpoint: got .*wanted --mergemix-encoder"),
        (["--mergemix-encoder-checkpoint", "no/such/file"], "--mergemix-encoder-checkpoint: got .*the path of a file"),
        (["--mixer", "mergemix"], "--mixer: got 'mergemix', wanted one of"),
        (["--mergemix-recipe", "scratch", "--mergemix", "0"], "--mergemix: got 0.0, wanted a number > 0, or no value"),
    ],
)
def test_values_out_of_range_are_refused_whatever_is_on(flags: list[str], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        ask(*flags)


def test_the_scripts_own_values_are_not_judged_where_nothing_of_ours_uses_them() -> None:
    assert ask("--mixup-prob", "2", "--mixup-mode", "triple").mix is None


OFF = {"mergemix": 0.0, "preference": 0.0}


@pytest.mark.parametrize("flags", [[], ["--mixup", "0.8", "--cutmix", "1"], ["--merge-r", "0"]])
def test_where_all_is_off_the_scripts_arguments_stay_as_they_are(flags: list[str]) -> None:
    before, after = vars(parse(*flags).args), vars(in_force(*flags))
    assert before == after
    assert after.items() >= OFF.items()


def test_what_is_in_force_is_written_back_as_yaml_has_it() -> None:
    args = vars(in_force("--mergemix-recipe", "finetune", "--merge-r", "keep:0.5", "--preference", "1"))
    wanted = {
        "merge_r": "keep:0.5",
        "merge_eval": True,
        "merge_prop_attn": True,
        "merge_matching": "bipartite",
        "mergemix": 1.0,
        "mergemix_prob": 0.5,
        "mixup": 0.8,
        "cutmix": 0.0,
        "cutmix_minmax": None,
        "mixup_prob": 0.5,
        "mixup_switch_prob": 0.5,
        "ratio_mode": "attention",
        "select": "own",
        "saliency_r": "keep:0.5",
        "saliency_scale": 1.0,
        "layer": None,
        "divide": True,
        "preference": 1.0,
        "preference_beta": 1.0,
        "preference_variant": "simpo",
    }
    assert args.items() >= wanted.items()
    assert yaml.safe_load(yaml.safe_dump(args)).items() >= wanted.items()
    assert "preference_saliency" not in args


def comparable(request: Request) -> dict[str, Any]:
    """Without what a recipe set, since a second run is told that, and with "keep:0.5" for ("keep", 0.5)."""
    found = dict(vars(request), saliency={name: plain(value) for name, value in vars(request.saliency).items()})
    return {name: value for name, value in found.items() if not name.startswith("recipe")}


@pytest.mark.parametrize(
    "flags",
    [
        ["--mixup", "0.8"],
        ["--mergemix", "1"],
        ["--mergemix", "1", "--mixup", "0.8", "--saliency-r", "1,1,1", "--layer", "pool"],
        ["--mergemix-recipe", "finetune"],
        ["--mergemix-recipe", "scratch", "--mixup", "0"],
        ["--mergemix-recipe", "scratch", "--mixup-prob", "1", "--cutmix-minmax", "0.2", "0.8"],
        ["--preference", "0.5", "--cutmix", "1", "--no-correct-lam"],
        ["--mixer", "resizemix", "--mixup-prob", "0.3", "--preference", "1"],
        ["--merge-r", "decreasing:2", "--no-merge-eval", "--no-merge-prop-attn"],
    ],
)
def test_the_args_yaml_of_a_run_asks_for_the_same_run(flags: list[str]) -> None:
    args = vars(in_force(*flags))
    again, asked = (comparable(request) for request in (ask(**yaml.safe_load(yaml.safe_dump(args))), ask(*flags)))
    assert again == asked
    assert vars(in_force(**args)) == args


def test_a_recipe_acts_beside_the_args_yaml_of_a_plain_run() -> None:
    plain_run = vars(in_force())
    assert ask("--mergemix-recipe", "scratch", **plain_run) == ask("--mergemix-recipe", "scratch")


def test_a_recipe_says_what_it_set() -> None:
    request = ask("--mergemix-recipe", "finetune", "--mixup-prob", "1")
    assert request.recipe == "finetune"
    assert request.recipe_sets == {"--mergemix": 1.0, "--mixup": 0.8, "--ratio-mode": "attention"}
    by_kind = ask("--mergemix", "1", pretrained=True)
    assert (by_kind.recipe, by_kind.recipe_sets) == ("finetune", {"--ratio-mode": "attention"})
    assert ask("--mergemix", "1").recipe == ""


def test_the_binary_loss_is_as_the_script_was_told() -> None:
    assert ask().bce is None
    bce = ask("--bce-loss", bce_target_thresh=0.2, bce_sum=True).bce
    assert bce == {"smoothing": 0.0, "target_threshold": 0.2, "sum_classes": True, "pos_weight": None}


def test_an_encoder_is_asked_for_only_where_it_is_read() -> None:
    flags = ["--mergemix-encoder", "test_vit", "--mergemix-encoder-checkpoint", __file__]
    request = ask("--mergemix", "1", *flags)
    assert (request.encoder, request.encoder_checkpoint) == ("test_vit", __file__)
    assert ask("--mixer", "resizemix", *flags).encoder is None
    assert ask("--mergemix", "1", "--mergemix-encoder", "").encoder is None


def test_a_script_that_does_not_train_is_asked_about_merging_alone() -> None:
    request = read_request(parse("--merge-r", "2", "--mergemix", "1"), training=False)
    assert (request.merge, request.mix, request.training) == (MergeConfig("2"), None, False)


@pytest.mark.parametrize(
    ("value", "wanted"), [(("keep", 0.5), "keep:0.5"), ((0.2, 0.8), [0.2, 0.8]), (2, 2), (None, None), ("2", "2")]
)
def test_values_become_plain(value: Any, wanted: Any) -> None:
    assert plain(value) == wanted
