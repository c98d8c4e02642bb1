"""Partners always show another picture for which the answer is wrong; other questions get a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.vlm.examples import Example, read_pictures
from timm_mergemix.vlm.partners import (
    LEFT_OUT,
    NO_ANSWER,
    NO_IMAGE,
    NO_PARTNER,
    NO_PICTURE,
    YES_NO,
    PartnerRule,
    choose_partners,
)

from ..mix.batches import quick
from .made import example, examples

DEFAULT = PartnerRule(leave_out=YES_NO)
# Pictures, answers and values of about, with few distinct values so that many coincide.
questions = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["red", "blue", "Yes.", "no, there is none", ""]), st.integers(0, 2)),
    max_size=6,
)


def choose(batch, recent=(), rule=DEFAULT, seed=0):
    return choose_partners(batch, recent, rule, np.random.default_rng(seed))


def pictures_of(pairing):
    return [partner.picture for partner in pairing.partners]


def made(rows):
    return [example(picture, answer, about=about) for picture, answer, about in rows]


@quick
@given(questions, questions, st.integers(0, 999))
def test_a_partner_shows_another_picture_and_has_another_answer(rows, recent, seed):
    batch, recent = made(rows), made(recent)
    pairing = choose(batch, recent, seed=seed)
    pool = [*batch, *recent]
    for row, own, partner in zip(pairing.rows, pairing.own, pairing.partners, strict=True):
        assert own is batch[row]
        assert any(partner is each for each in pool)
        assert partner.picture != own.picture and partner.answer != own.answer
        assert own.answer in ("red", "blue")


@quick
@given(questions, questions, st.integers(0, 999))
def test_each_row_without_a_partner_gets_the_correct_reason(rows, recent, seed):
    batch, recent = made(rows), made(recent)
    pairing = choose(batch, recent, seed=seed)
    reasons = []
    for row, own in enumerate(batch):
        others = [each for each in (*batch, *recent) if each.picture != own.picture]
        if row in pairing.rows:
            continue
        if not own.words:
            reasons.append(NO_ANSWER)
        elif own.words[0] in YES_NO:
            reasons.append(LEFT_OUT)
        elif not others:
            reasons.append(NO_PICTURE)
        else:
            assert all(each.answer == own.answer for each in others)
            reasons.append(NO_PARTNER)
    assert sorted(reasons) == sorted(reason for reason, count in pairing.left_out.items() for _ in range(count))
    assert pairing.seen == len(batch) == len(pairing) + len(reasons)


@quick
@given(questions, questions, st.integers(0, 999))
def test_still_right_replaces_the_comparison_of_answers(rows, recent, seed):
    batch, recent = made(rows), made(recent)
    rule = PartnerRule(still_right=lambda own, other: own <= other)
    pairing = choose(batch, recent, rule, seed)
    for own, partner in zip(pairing.own, pairing.partners, strict=True):
        assert partner.picture != own.picture
        assert not own.about <= partner.about
    wanted = [
        row
        for row, own in enumerate(batch)
        if own.answer and any(o.picture != own.picture and o.about < own.about for o in (*batch, *recent))
    ]
    assert list(pairing.rows) == wanted


def test_no_image_is_its_own_partner_unlike_in_a_random_permutation():
    batch = examples("red", "blue", "green", "white")
    published = [np.random.default_rng(seed).permutation(4) for seed in range(20)]
    assert any((order == np.arange(4)).any() for order in published)
    for seed in range(20):
        assert all(picture != row for row, picture in enumerate(pictures_of(choose(batch, seed=seed))))


def test_every_other_picture_can_be_the_partner():
    batch = examples("red", "blue", "green", "white")
    chosen = {pictures_of(choose(batch, seed=seed))[0] for seed in range(50)}
    assert chosen == {1, 2, 3}


def test_the_same_seed_chooses_the_same_partners():
    batch = examples(*"abcdefgh")
    first, again, other = (pictures_of(choose(batch, seed=seed)) for seed in (3, 3, 4))
    assert first == again != other


def test_the_same_picture_with_another_question_is_not_a_partner():
    by_id = [example(7, "red"), example(7, "blue")._replace(image=torch.rand(3, 8, 8))]
    assert choose(by_id).left_out == {NO_PICTURE: 2}
    image = torch.rand(3, 4, 4)
    pictures = read_pictures([image, image.clone()])
    by_pixels = [Example(image, picture, answer) for picture, answer in zip(pictures, ("red", "blue"), strict=True)]
    assert choose(by_pixels).left_out == {NO_PICTURE: 2}


def test_earlier_pictures_can_be_partners():
    pairing = choose(examples("red"), [example(7, "blue")])
    assert pairing.rows == (0,) and pairing.partners[0].picture == 7
    assert choose(examples("red")).left_out == {NO_PICTURE: 1}


@pytest.mark.parametrize("answer", ["yes", "Yes.", "NO", "no, there is none", "Yes, it is"])
def test_questions_answered_by_yes_or_no_have_no_loser_but_may_be_partners(answer):
    pairing = choose([example(0, answer), example(1, "red")])
    assert pairing.rows == (1,) and pairing.partners[0].picture == 0
    assert pairing.left_out == {LEFT_OUT: 1}
    assert choose([example(0, answer), example(1, "red")], rule=PartnerRule()).rows == (0, 1)


@pytest.mark.parametrize("answer", ["nothing", "none", "yesterday", "The answer is no"])
def test_only_a_first_word_of_yes_or_no_counts_as_such_an_answer(answer):
    assert choose([example(0, answer), example(1, "red")]).rows == (0, 1)


def test_rows_without_exactly_one_image_have_no_loser_and_are_not_partners():
    batch = [example(0), Example(None, None, "blue"), example(1)]
    pairing = choose(batch)
    assert pairing.rows == () and pairing.left_out == {NO_IMAGE: 1, NO_PARTNER: 2}


def test_answers_may_be_token_ids():
    batch = [example(0, (5, 6)), example(1, (5, 6)), example(2, (5, 7)), example(3, ())]
    pairing = choose(batch)
    assert pairing.rows == (0, 1, 2) and pairing.left_out == {NO_ANSWER: 1}
    assert all(own.answer != other.answer for own, other in zip(pairing.own, pairing.partners, strict=True))


def test_float_images_of_another_size_are_not_partners():
    batch = [example(0, "red"), example(1, "blue", shape=(3, 9, 8)), example(2, "green")]
    pairing = choose(batch)
    assert pairing.rows == (0, 2) and pairing.left_out == {NO_PICTURE: 1}
    assert pictures_of(pairing) == [2, 0]


def test_pil_and_uint8_images_of_any_size_can_be_partners():
    sizes = [(4, 5), (6, 3), (8, 8)]
    pil = [Example(Image.new("RGB", size), size, f"{size}") for size in sizes]
    assert choose(pil).rows == (0, 1, 2)
    bytes_ = [Example(torch.zeros(3, *size, dtype=torch.uint8), size, f"{size}") for size in sizes]
    assert choose(bytes_).rows == (0, 1, 2)


def test_a_tensor_and_a_pil_image_can_be_partners():
    batch = [Example(Image.new("RGB", (4, 4)), 0, "red"), Example(torch.zeros(3, 4, 4, dtype=torch.uint8), 1, "blue")]
    assert choose(batch).rows == (0, 1)


@pytest.mark.parametrize("known", [(None, 1), (1, None)])
def test_still_right_requires_about_for_both_questions(known):
    batch = [example(number, f"{number}", about=about) for number, about in enumerate(known)]
    rule = PartnerRule(still_right=lambda own, other: own == other)
    with pytest.raises(MergeMixError, match=r"^about: got None, wanted a value for still_right in each row"):
        choose(batch, rule=rule)


def test_values_of_about_may_be_falsy():
    batch = [example(0, about=0), example(1, about="")]
    assert choose(batch, rule=PartnerRule(still_right=lambda own, other: own == other)).rows == (0, 1)


def test_an_empty_batch_has_no_pairs():
    pairing = choose([])
    assert (pairing.rows, pairing.left_out, pairing.seen, len(pairing)) == ((), {}, 0, 0)


@pytest.mark.parametrize("other", ["red", "Red.", " RED"])
def test_answers_that_differ_only_in_case_or_punctuation_are_equal(other):
    pairing = choose([example(0, "red"), example(1, other)])
    assert len(pairing) == 0 and pairing.left_out == {NO_PARTNER: 2}
