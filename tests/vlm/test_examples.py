"""Metadata of questions: the words of answers, columns, and identifiers of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.vlm.examples import Example, read_answers, read_column, read_pictures

from ..merge.reference import randn
from ..mix.batches import noise, quick
from .made import Tokenizer

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Yes.", ("yes",)),
        ("no, there is none", ("no", "there", "is", "none")),
        ("  NO!", ("no",)),
        ('"Yes", it is', ("yes", "it", "is")),
        ("\u201cYes\u201d", ("yes",)),
        ("- yes", ("yes",)),
        ("Yes/No", ("yes", "no")),
        ("nothing", ("nothing",)),
        ("+", ("+",)),
        ("", ()),
        ("  ", ()),
        ((5, 6), (5, 6)),
        ((), ()),
        (0, (0,)),
    ],
)
def test_the_words_of_an_answer_are_lower_case_without_punctuation(answer, words):
    assert Example(None, None, answer).words == words


@pytest.mark.parametrize("values", [[4, 5], (4, 5), torch.tensor([4, 5])])
def test_a_column_is_read_as_a_list_with_one_value_per_row(values):
    assert read_column({"image_id": values}, "image_id", 2) == [4, 5]
    assert read_column({}, "image_id", 2) is None
    assert read_column({"image_id": None}, "image_id", 2) is None


@pytest.mark.parametrize("values", [[1, 2, 3], "ab", 7, torch.tensor([1])])
def test_a_column_of_another_length_is_refused_by_name(values):
    with pytest.raises(MergeMixError, match=r"^answer: got .*, wanted a list of 2 values, one per row"):
        read_column({"answer": values}, "answer", 2)


def test_answers_are_read_from_labels_as_text_or_as_tokens():
    labels = torch.tensor([[-100, 24, 22, 99], [20, -100, -100, -100], [-100] * 4])
    assert read_answers(labels) == [(24, 22, 99), (20,), ()]
    assert read_answers(labels, Tokenizer()) == ["a red", "Yes.", ""]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_have_equal_identifiers_only_if_their_pixels_are_equal(dtype):
    images = noise(4, 3, 5, 6, seed=1, dtype=torch.uint8).to(dtype)
    images[2] = images[0]
    images[3] = images[0]
    images[3, 1, 2, 3] += 1
    found = read_pictures(list(images))
    assert found[0] == found[2]
    assert len({found[0], found[1], found[3]}) == 3


@quick
@given(st.integers(0, 999), st.integers(0, 44), st.integers(0, 44))
def test_swapping_two_pixels_changes_the_identifier(seed, first, second):
    image = randn(3, 3, 5, seed=seed)
    moved = image.flatten().clone()
    moved[[first, second]] = moved[[second, first]]
    one, other = read_pictures([image, moved.view(3, 3, 5)])
    assert (one == other) == (first == second)


def test_identifiers_do_not_depend_on_the_batch_or_the_memory_layout():
    images = randn(3, 3, 5, 6)
    together = read_pictures(list(images))
    assert [read_pictures([image])[0] for image in images] == together
    assert read_pictures(list(images.to(memory_format=torch.channels_last))) == together
    assert read_pictures([*images, randn(3, 4, 4)])[:3] == together
    assert len({hash(picture) for picture in together}) == 3


def test_the_same_pixels_in_another_shape_have_another_identifier():
    image = randn(3, 4, 6)
    assert len(set(read_pictures([image, image.view(3, 6, 4)]))) == 2


def test_pil_images_have_equal_identifiers_only_if_their_pixels_are_equal():
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    other = values.copy()
    other[1, 2, 0] ^= 1
    images = [Image.fromarray(each) for each in (values, values.copy(), other, values.reshape(6, 4, 3))]
    found = read_pictures([*images, None, images[0].convert("RGBA")])
    assert found[0] == found[1]
    assert found[4] is None
    assert len(set(found)) == 5


def test_missing_images_have_no_identifier():
    assert read_pictures([]) == []
    assert read_pictures([None, None]) == [None, None]


def test_images_that_differ_only_in_their_palette_have_different_identifiers():
    images = [Image.new("P", (3, 2)) for _ in range(2)]
    for image, colour in zip(images, ([255, 0, 0], [0, 0, 255]), strict=True):
        image.putpalette(colour)
    assert images[0].convert("RGB").tobytes() != images[1].convert("RGB").tobytes()
    first, second = read_pictures(images)
    assert first != second


def test_missing_images_may_be_mixed_with_tensors():
    image = torch.zeros(3, 2, 2, dtype=torch.uint8)
    picture = read_pictures([image])[0]
    assert read_pictures([image, None, image]) == [picture, None, picture]
    assert read_pictures([None, image]) == [None, picture]


def test_tensors_may_be_mixed_with_pil_images():
    image, tensor = Image.new("RGB", (2, 2)), torch.zeros(3, 2, 2, dtype=torch.uint8)
    wanted = [*read_pictures([image]), *read_pictures([tensor])]
    assert read_pictures([image, tensor]) == wanted
    assert read_pictures([tensor, image]) == wanted[::-1]


@pytest.mark.parametrize("before", [[], [Image.new("RGB", (2, 2))], [torch.zeros(3, 2, 2)]], ids=["", "pil", "tensor"])
def test_values_that_are_not_images_are_refused(before):
    with pytest.raises(MergeMixError, match=r"^images: got a str, wanted PIL images or tensors"):
        read_pictures([*before, "picture.png"])
