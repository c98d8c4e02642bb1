import inspect

import pytest

from timm_mergemix import MergeMix, MergeMixError
from timm_mergemix.mixers.recipes import RECIPES, find_recipe
from timm_mergemix.training.mixers import MixOptions

from ..models import tiny


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_arguments_of_mergemix(name: str) -> None:
    recipe = MergeMix.recipe(name)
    assert set(recipe) <= set(inspect.signature(MergeMix).parameters)
    mixer = MergeMix(tiny(), 10, **recipe)
    assert mixer.prob == recipe["prob"] and mixer.saliency.r == recipe["saliency_r"]


def test_recipes_differ_in_what_was_measured_to_differ() -> None:
    scratch, finetune = find_recipe("scratch"), find_recipe("finetune")
    assert {name for name in scratch if scratch[name] != finetune[name]} == {"ratio_mode"}
    assert finetune["ratio_mode"] == "attention"


def test_a_recipe_may_be_changed() -> None:
    recipe = MergeMix.recipe("scratch")
    recipe["prob"] = 0.123
    assert find_recipe("scratch")["prob"] != 0.123
    assert MixOptions.of("scratch", prob=0.3, layer=None).prob == 0.3
    assert MixOptions.of("scratch").prob == find_recipe("scratch")["prob"]


def test_other_mixers_mix_as_many_batches_in_their_own_way() -> None:
    own, recipe = MixOptions.of("scratch", "timm"), find_recipe("scratch")
    assert own == MixOptions(prob=recipe["prob"])
    assert MixOptions.of("scratch", "timm", cutmix_alpha=0.3) == MixOptions(prob=recipe["prob"], cutmix_alpha=0.3)


def test_unknown_recipes() -> None:
    for call in (MergeMix.recipe, find_recipe, MixOptions.of):
        with pytest.raises(MergeMixError, match="recipe: got 'soup', wanted one of 'scratch', 'finetune'"):
            call("soup")
