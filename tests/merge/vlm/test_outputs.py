"""Outputs and lengths for the caller's own prompt."""

from types import SimpleNamespace

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.vlm.outputs import columns_of, in_full_length, shorter_lengths, with_prompt

BACK = torch.tensor([[0, 1, 1, 2, 3], [0, 0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("asked", "columns", "kept"),
    [
        (0, BACK.tolist(), 0),
        (2, None, [2, 3]),
        (torch.tensor([0, -1]), None, [0, 3]),
        (4, [[1, 1, 2, 3], [0, 1, 2, 3]], 0),
    ],
)
def test_the_model_is_asked_for_what_all_rows_share(asked, columns, kept):
    got, asked_for = columns_of(BACK, asked)
    assert (got if got is None else got.tolist()) == columns
    assert (asked_for.tolist() if isinstance(asked_for, torch.Tensor) else asked_for) == kept


def test_a_choice_for_each_row_is_refused():
    with pytest.raises(
        mm.MergeMixError, match=r"^logits_to_keep: got .*, wanted an integer or a one-dimensional tensor"
    ):
        columns_of(BACK, torch.zeros(2, 3, dtype=torch.int64))


def test_each_position_gets_the_output_of_its_token():
    logits = torch.arange(8.0).reshape(2, 4, 1)
    out = in_full_length({"logits": logits, "other": 1}, BACK)
    assert out["logits"][..., 0].tolist() == [[0, 1, 1, 2, 3], [4, 4, 5, 6, 7]]
    assert in_full_length({"logits": logits}, None)["logits"] is logits


@pytest.mark.parametrize(
    ("own", "config", "kwargs", "wanted_config", "wanted_kwargs"),
    [
        ({}, None, {}, None, {}),
        ({"max_length": 30}, None, {}, None, {"max_length": 20}),
        ({"max_length": 30}, None, {"max_length": 15}, None, {"max_length": 5}),
        ({"max_length": 30}, {"max_length": 25}, {}, {"max_length": 15}, {}),
        ({}, {"min_length": 4}, {"max_new_tokens": 3}, {"min_length": 0}, {"max_new_tokens": 3}),
    ],
)
def test_lengths_that_count_the_prompt_count_the_shorter_one(own, config, kwargs, wanted_config, wanted_kwargs):
    given = None if config is None else SimpleNamespace(**config)
    got = shorter_lengths(SimpleNamespace(**own), given, kwargs, lost=10)
    assert (None if got is None else vars(got)) == wanted_config
    assert kwargs == wanted_kwargs
    assert given is None or vars(given) == config


def test_sequences_begin_with_the_caller_s_prompt():
    prompt, out = (
        torch.tensor([[1, 9, 9, 2], [3, 9, 9, 4]]),
        torch.tensor([[1, 9, 2, 7], [1, 9, 2, 8], [3, 9, 4, 7], [3, 9, 4, 8]]),
    )
    wanted = [[1, 9, 9, 2, 7], [1, 9, 9, 2, 8], [3, 9, 9, 4, 7], [3, 9, 9, 4, 8]]
    assert with_prompt(out, prompt, 3).tolist() == wanted
    assert with_prompt({"sequences": out, "scores": 1}, prompt, 3)["sequences"].tolist() == wanted
