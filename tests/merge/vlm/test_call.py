"""What a call of a patched vision-language model changes of its arguments."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.vlm.call import Call

from .models import R, labels_of, llava, paligemma, prompts


def test_everything_along_the_prompt_is_shortened_alike():
    model, batch = mm.patch(paligemma(), R["paligemma"]), prompts("paligemma", [1, 2])
    batch["labels"] = labels_of(batch)
    batch["position_ids"] = torch.arange(batch["input_ids"].shape[1]).expand(2, -1)
    given = {name: value.clone() for name, value in batch.items()}
    short, kwargs = Call(model, batch).shorten()
    length = short.taken.shape[1]
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels", "position_ids"):
        assert kwargs[name].shape == (2, length)
    assert "pixel_values" not in kwargs
    assert kwargs["mm_encoder_outputs"]["image"].pooler_output.shape[:2] == (3, 16 - R["paligemma"][1])
    for name, value in given.items():
        assert torch.equal(batch[name], value)  # the caller's own are left as they are


@pytest.mark.parametrize(
    ("r", "pixels", "shortens"), [(("total", 8), True, True), (0, True, False), (("total", 8), False, False)]
)
def test_a_call_is_shortened_where_images_come_and_merge(r, pixels, shortens):
    model, batch = mm.patch(llava(), r), prompts("llava", [1])
    if not pixels:
        batch["pixel_values"] = None
    assert Call(model, batch).shortens == shortens


def test_a_model_that_was_unpatched_meanwhile_is_left_alone():
    model, batch = mm.patch(llava(), R["llava"]), prompts("llava", [1])
    forward = type(model).forward
    mm.unpatch(model)
    with torch.no_grad():
        assert torch.equal(forward(model, **batch).logits, model(**batch).logits)


def test_a_mask_for_each_pair_of_tokens_is_refused():
    model, batch = mm.patch(llava(), R["llava"]), prompts("llava", [1])
    length = batch["input_ids"].shape[1]
    with pytest.raises(mm.MergeMixError, match=r"^attention_mask: got .*, wanted None or a tensor of shape \(B, L\)"):
        model(**batch | {"attention_mask": torch.zeros(1, 1, length, length)})
