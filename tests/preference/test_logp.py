"""Log-probabilities of answers."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.preference.logp import label_logp, mean_logp, sequence_logp

from ..merge.reference import randn


def test_label_logp_is_the_log_of_softmax_or_sigmoid():
    logits, labels = randn(4, 5), torch.tensor([0, 4, 2, 2])
    wanted = torch.stack([row.softmax(0)[label].log() for row, label in zip(logits, labels, strict=True)])
    torch.testing.assert_close(label_logp(logits, labels), wanted)
    independent = torch.stack([row[label].sigmoid().log() for row, label in zip(logits, labels, strict=True)])
    torch.testing.assert_close(label_logp(logits, labels, bce=True), independent)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_label_logp_of_half_precision_logits_is_float32(dtype):
    logits = torch.tensor([[60000.0, -60000.0], [1.0, 2.0]]).to(dtype)
    got = label_logp(logits, torch.tensor([1, 0]))
    assert got.dtype == torch.float32
    assert got.isfinite().all()
    assert label_logp(logits.double(), torch.tensor([1, 0])).dtype == torch.float64


def test_padding_tokens_are_ignored():
    logits, tokens = randn(2, 3, 7), torch.tensor([[1, 6, -100], [3, -100, -100]])
    got = sequence_logp(logits, tokens)
    assert got.shape == (2, 3)
    torch.testing.assert_close(got[0, 1], logits[0, 1].log_softmax(0)[6])
    mask = tokens >= 0
    mean = mean_logp(got, mask)
    torch.testing.assert_close(mean[0], got[0, :2].mean())
    torch.testing.assert_close(mean[1], got[1, 0])
    changed = logits.clone()
    changed[~mask] = 50.0
    torch.testing.assert_close(mean_logp(sequence_logp(changed, tokens), mask), mean)


def test_padding_gets_no_gradient():
    logits, mask = randn(2, 3, 7).requires_grad_(), torch.tensor([[True, False, True], [True, False, False]])
    mean_logp(sequence_logp(logits, torch.zeros(2, 3, dtype=torch.long)), mask).sum().backward()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).any(dim=-1).all()


@pytest.mark.parametrize("pad", [-100, 7, 50256])
def test_positions_outside_the_mask_are_ignored(pad):
    logits, tokens = randn(2, 3, 7), torch.tensor([[1, 6, pad], [3, pad, pad]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    wanted = sequence_logp(logits, tokens.where(mask, 0)).where(mask, 0)
    broken = logits.masked_fill(~mask.unsqueeze(2), torch.nan).requires_grad_()
    got = sequence_logp(broken, tokens, mask)
    torch.testing.assert_close(got, wanted)
    got.sum().backward()
    assert broken.grad.isfinite().all() and (broken.grad[~mask] == 0).all()


def test_a_token_outside_the_vocabulary_is_refused_on_the_cpu_and_not_read_on_other_devices():
    logits, tokens = randn(1, 2, 7), torch.tensor([[1, 7]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(MergeMixError, match=r"^tokens: got tokens from 1 to 7, wanted tokens from 0 to 6"):
        sequence_logp(logits, tokens, mask)
    assert sequence_logp(logits.to("meta"), tokens.to("meta"), mask.to("meta")).shape == (1, 2)


def test_the_mean_of_an_empty_answer_is_zero():
    mask = torch.tensor([[True, True], [False, False]])
    assert mean_logp(torch.full((2, 2), -3.0), mask).tolist() == [-3.0, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_logp(torch.zeros(2), torch.zeros(2, dtype=torch.long)), r"^logits: got"),
        (lambda: label_logp(torch.zeros(2, 3), torch.zeros(2)), r"^labels: got a float32 tensor"),
        (lambda: label_logp(torch.zeros(2, 3), torch.tensor([0, 3])), r"^labels: got"),
        (lambda: sequence_logp(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)), r"^logits: got"),
        (lambda: sequence_logp(torch.zeros(2, 3, 4), torch.zeros(2, 2, dtype=torch.long)), r"^tokens: got"),
        (
            lambda: sequence_logp(
                torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool)
            ),
            r"^mask: got",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(MergeMixError, match=message):
        call()


def test_integer_log_probabilities_are_refused():
    with pytest.raises(MergeMixError, match=r"^logp: "):
        mean_logp(torch.zeros(1, 3).long(), torch.ones(1, 3, dtype=torch.bool))
