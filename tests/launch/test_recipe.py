"""What was not given is the recipe's, or the default: which of the two, for each of MergeMix's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from timm_mergemix.launch import recipe as module
from timm_mergemix.launch.recipe import OFF, fill

from .made import ask

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "scratch": {"prob": 0.8, "mixup_alpha": 0.3, "cutmix_alpha": 0.0},
    "finetune": {"prob": 0.6, "cutmix_alpha": 0.0, "ratio_mode": "attention", "layer": 2},
}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECIPES", RECIPES)


@pytest.mark.usefixtures("known")
def test_without_a_recipe_by_name_only_the_blend_is_its_own() -> None:
    values = {**OFF, "mergemix_alpha": 0.7}
    assert fill(values, ["mergemix_alpha"], None, "scratch") == values
    assert fill(values, ["mergemix_alpha"], None, "finetune") == {**values, "ratio_mode": "attention", "layer": 2}


@pytest.mark.usefixtures("known")
def test_what_is_given_comes_before_the_recipe() -> None:
    values = {**OFF, "mergemix_alpha": 0.7, "layer": 0, "prob": 1.0}
    assert fill(values, ["mergemix_alpha"], None, "finetune")["layer"] == 0
    assert fill(values, ["prob"], "finetune", "scratch")["layer"] == 0
    assert fill(values, ["prob"], "finetune", "scratch")["prob"] == 1.0
    assert fill(values, [], "finetune", "scratch")["prob"] == 0.6


@pytest.mark.usefixtures("known")
def test_a_recipe_by_name_leaves_nothing_of_what_was_not_given() -> None:
    assert fill(OFF, [], "scratch", "finetune") == RECIPES["scratch"]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("given", "value"), [("mixup_alpha", 1.0), ("cutmix_alpha", 0.5), ("cutmix_minmax", [0.2, 0.8])]
)
def test_where_one_way_beside_mergemix_is_given_the_others_stay_the_scripts(given: str, value: Any) -> None:
    filled = fill({**OFF, given: value}, [given], "scratch", "scratch")
    wanted = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "cutmix_minmax": None, given: value}
    assert {name: filled[name] for name in wanted} == wanted
    assert filled["prob"] == 0.8


def mix_of(*flags: str, **yaml: Any) -> dict[str, Any]:
    mix = ask(*flags, **yaml).mix
    assert mix is not None
    names = ("mergemix_alpha", "mergemix_prob", "mixup_alpha", "cutmix_alpha", "prob", "ratio_mode")
    return {name: getattr(mix, name) for name in names}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--mergemix", "0.7"], (0.7, 0.5, 0.0, 0.0, 1.0, "area")),
        (["--mergemix", "1", "--mixup", "0.8", "--cutmix", "1"], (1.0, 0.5, 0.8, 1.0, 1.0, "area")),
        (["--mergemix-recipe", "scratch"], (1.0, 0.5, 0.8, 0.0, 0.5, "area")),
        (["--mergemix-recipe", "finetune"], (1.0, 0.5, 0.8, 0.0, 0.5, "attention")),
        (["--mergemix-recipe", "scratch", "--mixup", "0"], (1.0, 0.5, 0.0, 0.0, 0.5, "area")),
        (["--mergemix-recipe", "scratch", "--cutmix", "0.4"], (1.0, 0.5, 0.0, 0.4, 0.5, "area")),
        (["--mergemix-recipe", "scratch", "--mixup-prob", "1"], (1.0, 0.5, 0.8, 0.0, 1.0, "area")),
        (["--mergemix-recipe", "scratch", "--mergemix-prob", "1"], (1.0, 1.0, 0.8, 0.0, 0.5, "area")),
        (["--mergemix-recipe", "finetune", "--ratio-mode", "area"], (1.0, 0.5, 0.8, 0.0, 0.5, "area")),
        (["--mergemix-recipe", "scratch", "--mergemix", "0.7"], (0.7, 0.5, 0.8, 0.0, 0.5, "area")),
    ],
)
def test_what_is_in_force_by_the_recipes_that_there_are(flags: list[str], wanted: tuple[Any, ...]) -> None:
    assert tuple(mix_of(*flags).values()) == wanted


def test_pretrained_models_are_fine_tuned() -> None:
    assert mix_of("--mergemix", "1", pretrained=True)["ratio_mode"] == "attention"
    assert mix_of("--mergemix", "1", pretrained=True)["prob"] == 1.0
