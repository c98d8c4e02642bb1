"""Batches of questions: one label per row, at the answer; padding on the right; columns for the mixer."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.training.images import Statistics
from timm_mergemix.training.vqa.batches import QuestionBatches, columns
from timm_mergemix.training.vqa.words import BEGIN, IMAGE, PAD

from .made import PLACES, SIZE, questions

QUESTIONS = questions(5)
WORDS = QUESTIONS.vocabulary()
BATCHES = QuestionBatches(QUESTIONS, WORDS, PLACES, Statistics.of(QUESTIONS.images))
NUMBERS = st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=8)


@given(NUMBERS)
def test_each_row_is_its_prompt_followed_by_padding(numbers: list[int]) -> None:
    batch = BATCHES(numbers)
    for number, ids, mask in zip(numbers, batch["input_ids"], batch["attention_mask"], strict=True):
        item = QUESTIONS.items[number]
        wanted = [BEGIN, *[IMAGE] * PLACES, *WORDS.encode(item.text), *WORDS.encode(item.answer)]
        length = len(wanted)
        assert ids[:length].tolist() == wanted and mask[:length].all()
        assert (ids[length:] == PAD).all() and not mask[length:].any()
    assert batch["attention_mask"].dtype == batch["input_ids"].dtype == torch.int64
    assert batch["attention_mask"].sum(dim=1).max() == batch["input_ids"].shape[1]  # no column is only padding


@given(NUMBERS)
def test_only_the_answer_has_a_label(numbers: list[int]) -> None:
    batch = BATCHES(numbers)
    labelled = batch["labels"] != -100
    assert labelled.sum(dim=1).tolist() == [1] * len(numbers)
    assert torch.equal(labelled.nonzero()[:, 1], batch["attention_mask"].sum(dim=1) - 1)  # the last token
    answers = [WORDS.decode([token]) for token in batch["labels"][labelled].tolist()]
    assert answers == [QUESTIONS.items[number].answer for number in numbers]


@given(NUMBERS)
def test_the_columns_for_the_mixer_identify_and_describe_the_pictures(numbers: list[int]) -> None:
    batch = BATCHES(numbers)
    items = [QUESTIONS.items[number] for number in numbers]
    assert batch["image_id"].tolist() == [item.image for item in items]
    assert batch["about"] == [(item.text, item.answer, *QUESTIONS.drawings[item.image]) for item in items]


def test_each_prompt_has_the_given_number_of_image_tokens() -> None:
    for places in (1, 7):
        batches = QuestionBatches(QUESTIONS, WORDS, places, Statistics.of(QUESTIONS.images))
        assert ((batches(range(len(batches)))["input_ids"] == IMAGE).sum(dim=1) == places).all()


def test_images_are_normalised_with_the_given_statistics() -> None:
    mean, std = (0.2, 0.3, 0.4), (0.5, 0.25, 0.125)
    batches = QuestionBatches(QUESTIONS, WORDS, PLACES, Statistics(mean, std))
    pixels = batches([9, 2])["pixel_values"]
    assert pixels.shape == (2, 3, SIZE, SIZE)
    for channel in range(3):
        wanted = (QUESTIONS.images[[2, 0], channel].float() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(pixels[:, channel], wanted)


def test_changing_a_batch_does_not_change_the_next_one() -> None:
    first = BATCHES([0, 1])
    first["pixel_values"].zero_()
    first["input_ids"].zero_()
    again = BATCHES([0, 1])
    assert again["pixel_values"].any() and again["input_ids"].any()


def test_columns_returns_the_positions_of_the_last_tokens() -> None:
    assert columns([[5], [5, 6, 7], [5, 6]]).tolist() == [0, 2, 1]
    assert len(BATCHES) == len(QUESTIONS)
