"""Log-probabilities of answers: the logits before each token predict it, and padding does not count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.vlm import AnswerLogp, answer_logp

from ..merge.reference import randn
from ..mix.batches import quick
from .made import answers_of

LABELS = torch.tensor([[-100, -100, 3, 1, 4], [2, 6, -100, 0, -100], [-100] * 5])


def by_hand(logits, labels):
    """Position of a token -> its log-probability, row by row."""
    return [
        {t: logits[row, t - 1].log_softmax(0)[labels[row, t]].item() for t in range(1, 5) if labels[row, t] >= 0}
        for row in range(len(labels))
    ]


def test_each_token_is_scored_by_the_logits_of_the_position_before_it():
    logits = randn(3, 5, 7)
    got = answer_logp(logits, LABELS)
    assert got.logp.shape == got.mask.shape == (3, 4)
    for row, wanted in enumerate(by_hand(logits, LABELS)):
        assert got.mask[row].nonzero().flatten().tolist() == [t - 1 for t in wanted]
        assert got.logp[row][got.mask[row]].tolist() == pytest.approx(list(wanted.values()), rel=1e-6)


def test_logits_that_predict_each_next_token_give_log_probability_0():
    labels = torch.tensor([[5, 2, 6, 3], [1, 4, 4, 0]])
    logits = torch.zeros(2, 4, 7)
    logits[:, :-1].scatter_(2, labels[:, 1:, None], 50.0)
    torch.testing.assert_close(answer_logp(logits, labels).mean, torch.zeros(2))
    published = logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).mean(dim=(1, 2))  # not shifted
    assert (published < -10).all()


def test_the_first_token_does_not_count_since_no_logits_predict_it():
    got = answer_logp(randn(1, 3, 7), torch.tensor([[4, 2, -100]]))
    assert got.tokens == 1
    torch.testing.assert_close(got.total, randn(1, 3, 7)[0, 0].log_softmax(0)[2])


@quick
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 999))
def test_the_mean_of_an_answer_does_not_depend_on_padding(left, right, seed):
    logits, labels = randn(3, 5, 7, seed=seed), LABELS.clone()
    labels[:, 0] = -100  # with padding before it, the first token would have logits
    padded = torch.cat([randn(3, left, 7, seed=seed + 1) * 9, logits, randn(3, right, 7, seed=seed + 2) * 9], dim=1)
    fill = labels.new_full((3, 1), -100)
    got = answer_logp(padded, torch.cat([fill.expand(-1, left), labels, fill.expand(-1, right)], dim=1))
    wanted = answer_logp(logits, labels)
    torch.testing.assert_close((got.mean, got.total, got.tokens), (wanted.mean, wanted.total, wanted.tokens))


def test_the_mean_does_not_divide_by_the_padded_length():
    logits, labels = randn(1, 4, 7), torch.tensor([[-100, -100, 3, 1]])
    fill, more = labels.new_full((1, 6), -100), randn(1, 6, 7, seed=1)
    short, long = answer_logp(logits, labels), answer_logp(torch.cat([logits, more], 1), torch.cat([labels, fill], 1))
    torch.testing.assert_close(short.mean, long.mean)
    published = [each.logp.where(each.mask, 0).sum(1) / each.mask.shape[1] for each in (short, long)]
    assert not torch.allclose(*published)


def test_nan_logits_at_padding_change_neither_values_nor_gradients():
    logits = randn(3, 5, 7)
    before = torch.zeros(3, 5, dtype=torch.bool)
    before[:, :-1] = LABELS[:, 1:] >= 0
    broken = logits.masked_fill(~before.unsqueeze(2), torch.nan).requires_grad_()
    got = answer_logp(broken, LABELS)
    assert torch.equal(got.total, answer_logp(logits, LABELS).total)
    (got.total + got.mean.sum()).backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[~before] == 0).all() and (broken.grad[before] != 0).any(dim=-1).all()


def test_logits_of_a_learnt_prompt_are_dropped():
    logits = randn(3, 5, 7)
    longer = torch.cat([randn(3, 4, 7, seed=1), logits], dim=1)
    assert torch.equal(answer_logp(longer, LABELS).logp, answer_logp(logits, LABELS).logp)


def test_outputs_may_be_an_object_with_logits_or_the_outputs_of_a_fused_head():
    logits = randn(3, 5, 7)
    assert torch.equal(answer_logp(SimpleNamespace(logits=logits), LABELS).logp, answer_logp(logits, LABELS).logp)
    fused = SimpleNamespace(log_probs=randn(3, 4), label_mask=torch.ones(3, 4), logits=None)
    got = answer_logp(fused, LABELS)
    assert got.logp is fused.log_probs
    assert got.mask.dtype == torch.bool and got.mask.all()


def test_sums_and_means_are_over_the_tokens_of_answers():
    logp = torch.tensor([[-1.0, torch.nan, -3.0], [-5.0, -7.0, 2.0], [9.0, 9.0, 9.0]])
    answers = AnswerLogp(logp, torch.tensor([[True, False, True], [False, True, False], [False] * 3]))
    assert answers.total == -11
    assert answers.mean.tolist() == [-2, -7, 0]
    assert answers.tokens == 3 and answers.tokens.dtype == torch.int64
    assert answers.is_there.tolist() == [True, True, False]
    taken = answers.take(torch.tensor([1, 0, 1]))
    assert taken.mean.tolist() == [-7, -2, -7]


def test_detached_answers_have_no_gradient():
    answers = answers_of(2, 3)
    assert answers.mean.requires_grad
    assert not answers.detach().mean.requires_grad
    assert torch.equal(answers.detach().mean, answers.mean)


@pytest.mark.parametrize(("dtype", "wanted"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_log_probabilities_are_at_least_float32(dtype, wanted):
    got = answer_logp(randn(3, 5, 7).to(dtype), LABELS)
    assert got.logp.dtype == got.total.dtype == got.mean.dtype == wanted


def test_values_are_not_read_on_other_devices():
    got = answer_logp(randn(3, 5, 7).to("meta"), LABELS.to("meta"))
    rows = torch.tensor([0, 2], device="meta")
    assert {part.device.type for part in (got.logp, got.mask, got.total, got.tokens, *got.take(rows))} == {"meta"}


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (
            randn(3, 5, 7),
            LABELS.float(),
            r"^labels: got a float32 tensor .*, wanted an integer tensor of shape \(B, L\)",
        ),
        (randn(3, 5, 7), LABELS[0], r"^labels: got .* of shape \(5,\), wanted an integer"),
        (SimpleNamespace(loss=0), LABELS, r"^logits: got None, wanted a float tensor of shape \(3, L, V\)"),
        (randn(2, 5, 7), LABELS, r"^logits: got a float32 tensor of shape \(2, 5, 7\)"),
        (randn(3, 4, 7), LABELS, r"^logits: got .*, wanted logits of at least 5 positions, as many as the labels"),
        (randn(3, 5, 6), LABELS, r"^tokens: got tokens from 0 to 6, wanted tokens from 0 to 5"),
    ],
)
def test_outputs_or_labels_that_do_not_fit_are_refused_by_name(outputs, labels, message):
    with pytest.raises(MergeMixError, match=message):
        answer_logp(outputs, labels)
