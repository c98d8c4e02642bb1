"""Prompts whose places for images do not fit are refused before anything runs."""

import pytest
import torch

import timm_mergemix as mm

from .models import IMAGE, R, llava, perception_lm, prompts

WANTED = r"input_ids: got rows of 16, 16 places for images \(token 99\), wanted 16 for each of 1 images"


def merged():
    model = mm.patch(llava(), R["llava"])
    model.model.vision_tower.register_forward_pre_hook(lambda *args: pytest.fail("the vision model ran"))
    return model


def test_images_that_are_missing_are_counted():
    batch = prompts("llava", [1, 1])
    batch["pixel_values"] = batch["pixel_values"][:1]
    model = merged()
    for run in (model, model.generate):
        with pytest.raises(mm.MergeMixError, match=WANTED):
            run(**batch)


def test_a_prompt_without_places_names_the_token_and_the_tokenizer():
    model = merged()
    wanted = r"input_ids: got 0 places for images \(token 99\), wanted 16 .*tokenizer must have the token 99"
    with pytest.raises(mm.MergeMixError, match=wanted):
        model(input_ids=torch.tensor([[1, 2, 3]]), pixel_values=torch.zeros(1, 3, 32, 32))


def test_places_that_are_shared_out_unevenly_are_refused():
    ids = torch.tensor([[1, *[IMAGE] * 15, 2, 3], [1, *[IMAGE] * 17]])
    with pytest.raises(mm.MergeMixError, match="rows of 15, 17 places"):
        merged()(input_ids=ids, pixel_values=torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (
            [torch.zeros(3, 32, 32), torch.zeros(3, 32, 64)],
            r"pixel_values: got a list, wanted .*all images of one size",
        ),
        (torch.zeros(3, 32, 32), r"pixel_values: got .*, wanted a tensor of shape \(images, C, H, W\)"),
        (torch.zeros(1, 3, 32, 64), "pixel_values: got images of 32 x 64 pixels, wanted 32 x 32 pixels"),
    ],
)
def test_images_of_other_sizes_are_refused(pixels, message):
    batch = prompts("llava", [1]) | {"pixel_values": pixels}
    with pytest.raises(mm.MergeMixError, match=message):
        merged()(**batch)


def test_pixels_without_a_prompt_are_refused():
    with pytest.raises(mm.MergeMixError, match="input_ids: got None, wanted the prompt"):
        merged()(pixel_values=torch.zeros(1, 3, 32, 32))


def test_frames_of_videos_take_places_of_their_own():
    model = mm.patch(perception_lm(), R["perception_lm"])
    batch = prompts("perception_lm", [2])
    ids = batch["input_ids"].clone()
    second = ids[0].eq(IMAGE).nonzero()[16:].flatten()
    ids[0, second] = model.config.video_token_id
    pixels = batch["pixel_values"]
    with torch.no_grad():
        both = model(input_ids=ids, pixel_values=pixels[:1], pixel_values_videos=pixels[1:]).logits
        images = model(**batch).logits
    torch.testing.assert_close(both, images)
