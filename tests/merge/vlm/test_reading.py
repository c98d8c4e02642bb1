"""Which layer a vision-language model reads, and how merging is shared out among the layers before it."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone

from .models import R, llava, paligemma, perception_lm, prompts


@pytest.mark.parametrize(
    ("model", "read_after", "other_tokens"),
    [
        (llava, 3, 0),
        (lambda: llava(vision_feature_layer=-1), 4, 0),
        (lambda: llava(vision_feature_layer=2, vision_feature_select_strategy="full"), 2, 1),
        (paligemma, 4, 0),
        (perception_lm, 3, 0),
    ],
)
def test_a_reading_knows_the_layer_and_the_tokens(model, read_after, other_tokens):
    reading = find_backbone(model()).reading
    assert (reading.read_after, reading.other_tokens) == (read_after, other_tokens)


def test_layers_that_are_not_read_merge_nothing():
    model = mm.patch(llava(), ("total", 8))
    assert mm.merge_info(model).merges == (3, 3, 2, 0)
    mm.patch(model, [1, 2, 3])
    assert mm.merge_info(model).merges == (1, 2, 3, 0)
    with pytest.raises(mm.MergeMixError, match="a list of 3 integers, one for each block"):
        mm.patch(model, [1, 2, 3, 4])


def test_a_full_prompt_with_the_class_token_has_a_place_for_it():
    model = mm.patch(llava(vision_feature_select_strategy="full"), R["llava"])
    ids = torch.tensor([[1, *[99] * 17, 5]])
    with torch.no_grad():
        assert model(input_ids=ids, pixel_values=torch.randn(1, 3, 32, 32)).logits.shape == (1, 19, 100)


@pytest.mark.parametrize(("name", "value"), [("vision_feature_layer", -1), ("vision_feature_select_strategy", "full")])
def test_a_call_that_reads_otherwise_is_refused(name, value):
    model, batch = mm.patch(llava(), R["llava"]), prompts("llava", [1])
    with pytest.raises(mm.MergeMixError, match=f"^{name}: got .*, wanted .*, which the model was patched with"):
        model(**batch, **{name: value})
    model(**batch, **{name: getattr(model.config, name)})
