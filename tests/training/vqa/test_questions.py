"""Questions about drawings: right answers for other drawings, and the data of easy-VQA."""

import sys
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.errors import MissingPackageError
from timm_mergemix.training.vqa.questions import (
    COLOURS,
    SHAPES,
    Drawing,
    Question,
    Questions,
    is_right,
    load_questions,
    right_answer,
)

from .made import SIZE, questions

CIRCLE, SQUARE = Drawing("circle", "red"), Drawing("rectangle", "blue")


@pytest.mark.parametrize(
    ("text", "answer", "drawing", "right"),
    [
        ("what shape is in the image?", "circle", SQUARE, "rectangle"),
        ("what is the red shape?", "circle", SQUARE, "rectangle"),
        ("what color is the circle?", "red", SQUARE, "blue"),
        ("is there a circle?", "yes", CIRCLE, "yes"),
        ("is there a circle?", "yes", SQUARE, "no"),
        ("is there not a circle?", "no", CIRCLE, "no"),
        ("is there not a circle?", "no", SQUARE, "yes"),
        ("does the image not contain a gray shape?", "yes", CIRCLE, "yes"),
        ("does the image not contain a gray shape?", "yes", Drawing("circle", "gray"), "no"),
        ("is no red shape present?", "yes", CIRCLE, "no"),
        ("is no red shape present?", "yes", SQUARE, "yes"),
        ("is a red shape present?", "no", CIRCLE, "yes"),
    ],
)
def test_the_right_answer_follows_from_the_drawing(text: str, answer: str, drawing: Drawing, right: str) -> None:
    assert right_answer(text, answer, drawing) == right
    assert is_right((text, answer, None, None), ("another question?", "yes", *drawing)) == (answer == right)


@pytest.mark.parametrize(
    ("text", "answer", "drawing"),
    [
        ("what shape is in the image?", "circle", Drawing(None, "red")),
        ("what color is the circle?", "red", Drawing("circle", None)),
        ("is there a circle?", "yes", Drawing(None, "blue")),
        ("is there not a circle?", "no", Drawing(None, "blue")),
        ("is there a red shape?", "no", Drawing("circle", None)),
        ("is no red shape present?", "yes", Drawing("circle", None)),
    ],
)
def test_an_answer_counts_as_right_if_the_drawing_leaves_it_unknown(text: str, answer: str, drawing: Drawing) -> None:
    assert right_answer(text, answer, drawing) is None
    assert is_right((text, answer, *CIRCLE), ("is there a circle?", "no", *drawing))


@given(st.sampled_from(SHAPES), st.sampled_from(COLOURS), st.sampled_from([*SHAPES, *COLOURS]))
def test_a_negated_question_has_the_opposite_answer(shape: str, colour: str, word: str) -> None:
    noun = word if word in SHAPES else f"{word} shape"
    plain = right_answer(f"is there a {noun}?", "yes", Drawing(shape, colour))
    assert plain == ("yes" if word in (shape, colour) else "no")
    for negated in (f"is there not a {noun}?", f"is no {noun} present?"):
        assert {plain, right_answer(negated, "yes", Drawing(shape, colour))} == {"yes", "no"}


def test_questions_are_open_unless_answered_by_yes_or_no() -> None:
    answers = [*SHAPES, *COLOURS, "yes", "no"]
    found = [answer for answer in answers if Question("what?", answer, 0).is_open]
    assert found == [*SHAPES, *COLOURS]


def test_a_part_renumbers_its_drawings() -> None:
    whole = questions(6)
    part = whole.part(2, 5)
    assert len(part) == 12 and torch.equal(part.images, whole.images[2:5]) and part.drawings == whole.drawings[2:5]
    assert part.items == tuple(each._replace(image=each.image - 2) for each in whole.items[8:20])


@given(st.integers(0, 6), st.integers(0, 6))
def test_two_parts_make_up_the_whole(cut: int, seed: int) -> None:
    whole = questions(6, seed)
    first, second = whole.part(0, cut), whole.part(cut, 6)
    assert first.items + tuple(each._replace(image=each.image + cut) for each in second.items) == whole.items
    assert first.drawings + second.drawings == whole.drawings
    assert torch.equal(torch.cat([first.images, second.images]), whole.images)


def test_take_keeps_all_drawings() -> None:
    whole = questions(3)
    some = whole.take([5, 0])
    assert some.items == (whole.items[5], whole.items[0])
    assert some.images is whole.images and some.drawings == whole.drawings


def test_the_vocabulary_has_the_words_of_the_questions_and_all_possible_answers() -> None:
    none = Questions((), torch.zeros(0, 3, SIZE, SIZE, dtype=torch.uint8), ())
    answers = {"yes", "no", *SHAPES, *COLOURS}
    assert set(none.vocabulary().words[3:]) == answers
    one = questions(1)
    asked = {word for each in one.items for word in each.text.removesuffix("?").split()}
    assert set(one.vocabulary().words[3:]) == answers | asked | {"?"}


@cache
def easy_vqa(split: str) -> Questions:
    pytest.importorskip("easy_vqa")
    return load_questions(split)


@pytest.mark.parametrize(("split", "count", "drawings"), [("train", 38575, 4000), ("test", 9673, 1000)])
def test_every_answer_of_easy_vqa_is_right_for_its_own_drawing(split: str, count: int, drawings: int) -> None:
    found = easy_vqa(split)
    assert (len(found), len(found.drawings)) == (count, drawings)
    assert found.images.shape == (drawings, 3, 64, 64) and found.images.dtype == torch.uint8
    assert {each.image for each in found.items} == set(range(drawings))
    known = 0
    for text, answer, image in found.items:
        own = (text, answer, *found.drawings[image])
        assert is_right(own, own), own
        if None not in found.drawings[image]:
            known += 1
            assert right_answer(text, answer, found.drawings[image]) == answer, own
    assert known > 0.85 * count


def test_every_word_of_easy_vqas_test_questions_occurs_in_training() -> None:
    words = easy_vqa("train").vocabulary()
    assert len(words) == 31
    for each in easy_vqa("test").items:
        assert words.decode(words.encode(f"{each.text} {each.answer}")) == f"{each.text[:-1]} ? {each.answer}"


def test_the_drawings_have_the_colours_that_the_questions_say() -> None:
    found, channels = easy_vqa("test"), {"red": 0, "green": 1, "blue": 2}
    looked = 0
    for image, (_, colour) in zip(found.images, found.drawings, strict=True):
        if colour in channels:
            # The background is almost grey, so the channels differ most inside the shape.
            pixels = image.flatten(1).float()
            differ = pixels.amax(dim=0) - pixels.amin(dim=0)
            assert pixels[:, differ.argmax()].argmax() == channels[colour]
            looked += 1
    assert looked > 200


def test_the_error_for_missing_easy_vqa_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(MissingPackageError, match=r'easy_vqa.*pip install "timm-mergemix\[vlm-demo\]"'):
        load_questions("test")
