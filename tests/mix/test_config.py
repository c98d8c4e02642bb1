"""The settings of a mix: their checks, and the recipes that set some of them."""

import inspect

import pytest

from timm_mergemix import MergeMix, MergeMixError
from timm_mergemix.mix.config import RECIPES, MixConfig, find_recipe
from timm_mergemix.saliency.config import SaliencyConfig

from ..models import tiny


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mergemix_alpha", -1),
        ("mixup_alpha", float("nan")),
        ("cutmix_alpha", "1"),
        ("cutmix_minmax", (0.5, 0.2)),
        ("cutmix_minmax", (0.1, 0.2, 0.3)),
        ("cutmix_minmax", 0.5),
        ("prob", 1.5),
        ("mergemix_prob", -0.1),
        ("switch_prob", 2),
        ("mode", "row"),
        ("correct_lam", "no"),
        ("ratio_mode", "mean"),
        ("select", None),
        ("label_smoothing", -0.1),
        ("multi_label", 1),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(MergeMixError) as raised:
        MixConfig(**{name: value})
    assert raised.value.argument == name


@pytest.mark.parametrize(
    ("name", "prob", "blends"),
    [("scratch", 0.5, ["mergemix", "mixup"]), ("finetune", 0.5, ["mergemix", "mixup"]), ("paper", 1.0, ["mergemix"])],
)
def test_recipes_are_arguments_of_mergemix(name: str, prob: float, blends: list[str]) -> None:
    recipe = MergeMix.recipe(name)
    assert set(recipe) <= set(inspect.signature(MergeMix).parameters)
    mixer = MergeMix(tiny(), 10, **recipe)
    assert mixer.prob == prob
    assert [blend.name for blend, _ in mixer.blends] == blends
    if name == "paper":
        assert (mixer.blends[0][0].config.ratio_mode, mixer.saliency.config.divide) == ("gaussian", False)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_only_what_differs_from_the_defaults(name: str) -> None:
    defaults = {**vars(MixConfig()), **vars(SaliencyConfig())}
    assert all(value != defaults[option] for option, value in RECIPES[name].items())


def test_recipes_differ_in_what_was_measured_to_differ() -> None:
    assert dict(RECIPES["finetune"]) == {**RECIPES["scratch"], "ratio_mode": "attention"}


def test_a_recipe_may_be_changed_without_changing_it_for_others() -> None:
    MergeMix.recipe("scratch")["prob"] = 0.123
    assert find_recipe("scratch")["prob"] == 0.5


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(MergeMixError, match="recipe: got 'soup', wanted one of 'scratch', 'finetune', 'paper'"):
        MergeMix.recipe("soup")


@pytest.mark.parametrize("name", ["prob", "mergemix_prob", "switch_prob"])
def test_a_probability_is_at_most_1(name):
    MixConfig.check({name: 1.0})
    with pytest.raises(MergeMixError, match=f"^{name}: "):
        MixConfig.check({name: 1.5})
