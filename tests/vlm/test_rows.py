"""Finding the image of each row of a batch, selecting rows, and joining two batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.vlm.rows import find_images, join, plain_images, take_rows

from ..merge.reference import randn
from ..mix.batches import quick

IMAGE = 99


def batch_of(counts, each=3):
    """Prompts with the given number of images per row, each with several image tokens, and text around them."""
    length = max(counts, default=0) * each + 2
    rows = [[1, *[IMAGE] * (count * each), *[5] * (length - 1 - count * each)] for count in counts]
    return {"input_ids": torch.tensor(rows), "pixel_values": randn(sum(counts), 3, 4, 4)}


def test_plain_images_returns_the_images_of_the_batch():
    images = randn(2, 3, 4, 4)
    assert plain_images({"pixel_values": images}) is images
    assert torch.equal(plain_images({"pixel_values": images.unsqueeze(1)}), images)


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (None, "None"),
        (randn(6, 12), r"a float32 tensor of shape \(6, 12\)"),
        (randn(2, 5, 3, 4, 4), r"a float32 tensor of shape \(2, 5, 3, 4, 4\)"),
        ([randn(3, 4, 4)], "a list"),
    ],
)
def test_other_images_are_refused_with_a_hint(images, got):
    wanted = r"wanted a tensor of shape \(images, C, H, W\); other images must be mixed before .*PairCollator"
    with pytest.raises(MergeMixError, match=f"^pixel_values: got {got}, {wanted}"):
        plain_images({"pixel_values": images})


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(any), st.integers(1, 4))
def test_a_row_with_one_image_gets_its_index_and_other_rows_none(counts, each):
    wanted = [sum(counts[:row]) if count == 1 else None for row, count in enumerate(counts)]
    assert find_images(batch_of(counts, each), len(counts), IMAGE) == wanted


def test_without_a_token_each_row_must_have_one_image():
    batch = {"pixel_values": randn(3, 3, 4, 4), "input_ids": torch.ones(3, 5)}
    assert find_images(batch, 3, None) == [0, 1, 2]
    assert find_images({"pixel_values": batch["pixel_values"]}, 3, IMAGE) == [0, 1, 2]
    with pytest.raises(MergeMixError, match=r"^pixel_values: got .*, wanted one image for each of the 4 rows"):
        find_images(batch, 4, None)


@pytest.mark.parametrize(
    ("counts", "images", "message"),
    [
        ([1, 1], 3, r"got 6 image tokens \(99\) for 3 images, wanted the same number of image tokens for each image"),
        ([1, 1], 4, r"got 6 image tokens \(99\) for 4 images"),
        ([0, 0], 1, r"got 0 image tokens \(99\) for 1 images"),
    ],
)
def test_images_that_do_not_fit_the_prompts_are_refused(counts, images, message):
    batch = batch_of(counts) | {"pixel_values": randn(images, 3, 4, 4)}
    with pytest.raises(MergeMixError, match=f"^input_ids: {message}"):
        find_images(batch, 2, IMAGE)


@pytest.mark.parametrize("tiles", [False, True])
def test_take_rows_selects_rows_and_replaces_images(tiles):
    inputs = batch_of([1, 2, 0, 1])
    inputs |= {"use_cache": False, "scale": torch.tensor(2.0), "x": None}
    if tiles:
        inputs["pixel_values"] = inputs["pixel_values"].unsqueeze(1)
    mixed = randn(2, 3, 4, 4, seed=1)
    taken = take_rows(inputs, [0, 3], [0, 3], mixed)
    assert list(taken) == list(inputs)
    assert torch.equal(taken["input_ids"], inputs["input_ids"][[0, 3]])
    assert taken["pixel_values"].shape == ((2, 1, 3, 4, 4) if tiles else (2, 3, 4, 4))
    assert torch.equal(taken["pixel_values"].view_as(mixed), mixed)
    assert (taken["use_cache"], taken["scale"], taken["x"]) == (False, inputs["scale"], None)


def test_per_image_arguments_are_selected_by_image():
    inputs = batch_of([0, 1, 1]) | {"image_sizes": torch.tensor([[1, 1], [2, 2]])}
    taken = take_rows(inputs, [2], [1], randn(1, 3, 4, 4))
    assert taken["image_sizes"].tolist() == [[2, 2]]


def test_per_image_arguments_are_selected_by_image_even_if_there_are_as_many_images_as_rows():
    inputs = batch_of([0, 1, 2]) | {"image_sizes": torch.tensor([[1, 1], [2, 2], [3, 3]])}
    assert find_images(inputs, 3, IMAGE) == [None, 0, None]
    taken = take_rows(inputs, [1], [0], randn(1, 3, 4, 4))
    assert taken["image_sizes"].tolist() == [[1, 1]]


def test_take_rows_does_not_change_the_batch():
    inputs = batch_of([1, 1])
    before = {name: value.clone() for name, value in inputs.items()}
    take_rows(inputs, [1], [1], randn(1, 3, 4, 4))["input_ids"].zero_()
    assert all(torch.equal(inputs[name], before[name]) for name in before)


def test_without_input_ids_the_labels_give_the_number_of_rows():
    inputs = {"labels": torch.ones(2, 3), "inputs_embeds": randn(2, 3, 8), "pixel_values": randn(2, 3, 4, 4)}
    taken = take_rows(inputs, [1], [1], randn(1, 3, 4, 4))
    assert torch.equal(taken["inputs_embeds"], inputs["inputs_embeds"][1:])


def test_an_argument_with_rows_neither_per_prompt_nor_per_image_is_refused():
    inputs = batch_of([1, 1]) | {"position_ids": torch.zeros(3, 2, 5)}
    with pytest.raises(MergeMixError, match=r"^position_ids: got .*, wanted 2 rows, one per prompt, or 2, one per"):
        take_rows(inputs, [0], [0], randn(1, 3, 4, 4))


def test_join_concatenates_two_batches():
    first, second = batch_of([1, 1]) | {"use_cache": False}, batch_of([1, 1]) | {"use_cache": True}
    both = join(first | {"scale": torch.tensor(1.0)}, second | {"scale": torch.tensor(2.0)})
    assert both["input_ids"].shape == (4, first["input_ids"].shape[1])
    assert torch.equal(both["pixel_values"][2:], second["pixel_values"])
    assert (both["use_cache"], both["scale"]) == (False, 1)
