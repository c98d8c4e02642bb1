"""Batches: the arguments of the model, the metadata of each question, and rows with mixed images."""

from __future__ import annotations

from collections import UserDict

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.vlm.batches import Losers, PairedBatch, examples_of, inputs_of, losers_of
from timm_mergemix.vlm.examples import Example
from timm_mergemix.vlm.partners import Pairing

from ..merge.reference import randn
from .made import Tokenizer, example

IMAGE = 99


def batch_of(**more):
    """Rows with one, no, two and one images of two tokens each; the answers are "a red", "Yes.", "blue" and none."""
    ids = torch.tensor(
        [[1, 99, 99, 5, 5, 24, 22], [1, 5, 5, 5, 5, 5, 20], [1, 99, 99, 99, 99, 5, 23], [1, 99, 99, 5, 5, 5, 5]]
    )
    labels = torch.full_like(ids, -100)
    labels[0, 5:], labels[1, 6], labels[2, 6] = ids[0, 5:], 20, 23
    return {"input_ids": ids, "labels": labels, "pixel_values": randn(4, 3, 4, 4)} | more


def losers_dict(rows=(0, 2)):
    count = len(rows)
    inputs = {"input_ids": torch.ones(count, 5, dtype=torch.long)}
    return {
        "inputs": inputs, "labels": torch.ones(count, 5).long(), "rows": torch.tensor(rows).long(),
        "ratio": torch.full((count,), 0.5),
    }  # fmt: skip


def test_inputs_of_drops_the_columns_and_the_losers():
    batch = batch_of(image_id=[1, 2, 3, 4], answer=[""] * 4, about=[0] * 4, losers=losers_dict())
    assert list(inputs_of(batch)) == ["input_ids", "labels", "pixel_values"]
    assert list(inputs_of(UserDict(batch))) == ["input_ids", "labels", "pixel_values"]
    assert len(batch) == 7


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": torch.ones(2, 3)}, r"^labels: got None, wanted an integer tensor of shape \(B, L\)"),
        ({"labels": torch.ones(2, 3)}, r"^labels: got a float32 tensor"),
        ({"labels": torch.ones(2).long()}, r"^labels: got .* of shape \(2,\)"),
        (torch.ones(2, 3), r"^batch: got a Tensor, wanted a dictionary of the model's arguments, including labels"),
    ],
)
def test_a_batch_without_labels_is_refused(batch, message):
    with pytest.raises(MergeMixError, match=message):
        inputs_of(batch)


def test_each_example_has_the_image_picture_and_answer_of_its_row():
    batch = batch_of()
    found = examples_of(batch, IMAGE, Tokenizer(), needs_text=True)
    assert [each.answer for each in found] == ["a red", "Yes.", "blue", ""]
    assert [each.image is None for each in found] == [False, True, True, False]
    assert torch.equal(found[0].image, batch["pixel_values"][0])
    assert torch.equal(found[3].image, batch["pixel_values"][3])
    assert found[1].picture is None and found[0].picture != found[3].picture
    assert all(each.about is None for each in found)


def test_columns_take_precedence_over_values_read_from_the_batch():
    batch = batch_of(image_id=torch.tensor([7, 8, 9, 7]), answer=["x", "y", "z", "x"], about=[1, 2, 3, 4])
    found = examples_of(batch, IMAGE, None, needs_text=True)
    assert [each[1:] for each in found] == [(7, "x", 1), (8, "y", 2), (9, "z", 3), (7, "x", 4)]


def test_two_rows_with_equal_pixels_have_the_same_picture():
    batch = batch_of()
    batch["pixel_values"][3] = batch["pixel_values"][0]
    first, *_, last = examples_of(batch, IMAGE, None, needs_text=False)
    assert first.picture == last.picture


def test_without_a_tokenizer_answers_are_token_ids_unless_text_is_needed():
    assert [each.answer for each in examples_of(batch_of(), IMAGE, None, False)] == [(24, 22), (20,), (23,), ()]
    wanted = r"the tokenizer of the labels, which is needed to find questions answered by yes or no, or leave_out=\(\)"
    with pytest.raises(MergeMixError, match=f"^tokenizer: got None, wanted {wanted}"):
        examples_of(batch_of(), IMAGE, None, needs_text=True)


@pytest.mark.parametrize("name", ["image_id", "answer", "about"])
def test_a_column_of_another_length_is_refused_by_name(name):
    with pytest.raises(MergeMixError, match=f"^{name}: got .*, wanted a list of 4 values"):
        examples_of(batch_of(**{name: [1, 2]}), IMAGE, Tokenizer(), needs_text=True)


def test_the_column_about_may_hold_any_values():
    about = [{"shapes": ["circle"]}, [1], None, "text"]
    found = examples_of(batch_of(about=about), IMAGE, Tokenizer(), needs_text=True)
    assert [each.about for each in found] == about


def test_an_unhashable_image_id_is_refused():
    with pytest.raises(MergeMixError, match=r"^image_id: got"):
        examples_of(batch_of(image_id=[[1], [2], [3], [4]]), IMAGE, Tokenizer(), needs_text=True)


def test_losers_are_rows_whose_images_are_replaced_by_mixed_ones():
    batch = batch_of(attention_mask=torch.arange(28).view(4, 7))
    pairing = Pairing((0, 3), (example(0), example(3)), (example(3), example(0)), {"no": 2})
    paired = PairedBatch(inputs_of(batch), pairing)
    assert paired.labels is batch["labels"] and paired.pairs == 2
    mixed, ratio = randn(2, 3, 4, 4, seed=1), torch.tensor([0.3, 0.8])
    losers = losers_of(paired, mixed, ratio, IMAGE)
    assert len(losers) == 2 and losers.rows.tolist() == [0, 3] and losers.ratio is ratio
    assert list(losers.inputs) == ["input_ids", "pixel_values", "attention_mask"]
    assert losers.inputs["pixel_values"] is mixed
    assert torch.equal(losers.inputs["input_ids"], batch["input_ids"][[0, 3]])
    assert torch.equal(losers.inputs["attention_mask"], batch["attention_mask"][[0, 3]])
    assert torch.equal(losers.labels, batch["labels"][[0, 3]])


def test_losers_keep_the_per_image_arguments_of_their_own_image():
    batch = {name: value[[1, 0, 3]] for name, value in batch_of().items()}
    batch |= {"pixel_values": batch["pixel_values"][1:], "image_sizes": torch.tensor([[1, 1], [2, 2]])}
    paired = PairedBatch(inputs_of(batch), Pairing((2,), (example(0),), (example(3),)))
    losers = losers_of(paired, randn(1, 3, 4, 4), torch.tensor([0.5]), IMAGE)
    assert losers.inputs["image_sizes"].tolist() == [[2, 2]]
    assert torch.equal(losers.inputs["input_ids"], batch["input_ids"][2:])


def test_an_argument_without_rows_is_refused_by_name():
    pairing = Pairing((0,), (example(0),), (example(3),))
    paired = PairedBatch(inputs_of(batch_of(cu_seqlens=torch.ones(9))), pairing)
    with pytest.raises(MergeMixError, match=r"^cu_seqlens: got .*, wanted 4 rows, one per prompt, or 4, one per image"):
        losers_of(paired, randn(1, 3, 4, 4), torch.tensor([0.5]), IMAGE)


def test_losers_can_be_given_as_a_dictionary():
    values = losers_dict()
    losers = Losers.of(values)
    assert len(losers) == 2
    assert vars(losers) == values
    assert Losers.of(losers_dict(())) is None


OTHERS = [[1], {"rows": torch.zeros(1)}, losers_dict() | {"more": 1}, Losers(**losers_dict())]


@pytest.mark.parametrize("values", OTHERS, ids=["list", "less", "more", "losers"])
def test_malformed_losers_are_refused(values):
    with pytest.raises(MergeMixError, match=r"^losers: got a \w+, wanted a dictionary of inputs, labels, rows, ratio"):
        Losers.of(values)


def test_the_number_of_pairs_counts_losers_that_are_given_or_to_be_made():
    inputs = inputs_of(batch_of())
    pairing = Pairing((0,), (Example(None, 0, ""),), (Example(None, 1, ""),))
    assert PairedBatch(inputs).pairs == 0
    assert PairedBatch(inputs, pairing).pairs == 1
    assert PairedBatch(inputs, Pairing((), (), ())).pairs == 0
    assert PairedBatch(inputs, losers=Losers.of(losers_dict())).pairs == 2
