"""Losses of a pair against direct formulas, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.preference.pairwise import dpo_loss, hinge_loss, simpo_loss

from ..merge.reference import randn

SETTINGS = settings(max_examples=40, deadline=None)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -500 else 0.0


@SETTINGS
@given(
    winner=st.floats(-20, 0),
    loser=st.floats(-20, 0),
    margin=st.floats(-3, 3),
    beta=st.floats(0.01, 5),
    pairs=st.just(3),
)
def test_simpo_and_hinge_are_their_formulas(winner, loser, margin, beta, pairs):
    w, lo = (torch.full((pairs,), value, dtype=torch.float64) for value in (winner, loser))
    got = simpo_loss(w, lo, margin, beta)
    assert got.shape == (pairs,)
    assert got[0].item() == pytest.approx(-math.log(sigmoid(beta * (winner - loser) - margin)), rel=1e-9, abs=1e-12)
    wanted = max(0.0, margin - beta * (winner - loser))
    assert hinge_loss(w, lo, margin, beta)[0].item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@SETTINGS
@given(values=st.lists(st.floats(-20, 0), min_size=4, max_size=4), margin=st.floats(-3, 3), beta=st.floats(0.01, 5))
def test_dpo_is_its_formula(values, margin, beta):
    w, lo, rw, rl = (torch.tensor([value], dtype=torch.float64) for value in values)
    ahead = (values[0] - values[2]) - (values[1] - values[3])
    wanted = -math.log(sigmoid(beta * ahead - margin))
    assert dpo_loss(w, lo, rw, rl, margin, beta).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_dpo_against_the_model_itself_is_log_two():
    w, lo = randn(5), randn(5, seed=1)
    torch.testing.assert_close(dpo_loss(w, lo, w, lo), torch.full((5,), math.log(2)))


@SETTINGS
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_sequences_take_the_mean_over_their_own_tokens(lengths, seed):
    longest = max(lengths) + 2
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    winner, loser = randn(len(lengths), longest, seed=seed), randn(len(lengths), longest, seed=seed + 1)
    means = [torch.stack([row[:n].mean() for row, n in zip(x, lengths, strict=True)]) for x in (winner, loser)]
    padded = [x.masked_fill(~mask, value) for x, value in ((winner, torch.nan), (loser, -torch.inf))]
    got = simpo_loss(*padded, 0.3, 2.0, winner_mask=mask, loser_mask=mask)
    torch.testing.assert_close(got, simpo_loss(*means, 0.3, 2.0))
    hinged = hinge_loss(*padded, 0.3, 2.0, winner_mask=mask, loser_mask=mask)
    torch.testing.assert_close(hinged, hinge_loss(*means, 0.3, 2.0))


def test_dpo_of_sequences_takes_the_sum():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    w, lo, rw, rl = (randn(2, 3, seed=seed) for seed in range(4))
    sums = [x.where(mask, 0).sum(1) for x in (w, lo, rw, rl)]
    torch.testing.assert_close(dpo_loss(w, lo, rw, rl, winner_mask=mask, loser_mask=mask), dpo_loss(*sums))
    torch.testing.assert_close(dpo_loss(w, lo, rw, rl), dpo_loss(*(x.sum(1) for x in (w, lo, rw, rl))))


@pytest.mark.parametrize("loss", [simpo_loss, hinge_loss])
def test_gradients_match_finite_differences(loss):
    winner, loser = (randn(4, seed=seed).double().requires_grad_() for seed in (0, 1))
    margin = torch.tensor([0.1, 0.5, 0.9, 0.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w, lo: loss(w, lo, margin, 1.7), (winner, loser))


def test_gradients_of_dpo_match_and_stop_at_the_reference():
    w, lo, rw, rl = (randn(4, seed=seed).double().requires_grad_() for seed in range(4))
    assert torch.autograd.gradcheck(lambda a, b: dpo_loss(a, b, rw, rl, 0.2, 0.7), (w, lo))
    dpo_loss(w, lo, rw, rl).sum().backward()
    assert rw.grad is None and rl.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_never_overflows(dtype):
    winner, loser = torch.tensor([-1e4, 0.0, -5.0], dtype=dtype), torch.tensor([0.0, -1e4, -5.0], dtype=dtype)
    winner.requires_grad_()
    got = simpo_loss(winner, loser, 1.0, 3.0)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, simpo_loss(winner.float(), loser.float(), 1.0, 3.0))
    got.sum().backward()
    assert got.isfinite().all() and winner.grad.isfinite().all()


PAIR = (torch.zeros(3), torch.zeros(3))
TOKENS = (torch.zeros(2, 3), torch.zeros(2, 3))
EMPTY = torch.tensor([[True, True, False], [False, False, False]])


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("variant", ["simpo", "hinge", "dpo"])
@pytest.mark.parametrize("side", ["winner_mask", "loser_mask"])
def test_a_pair_with_an_empty_answer_is_left_out(variant, side, device):
    parts = [randn(2, 3, seed=seed).to(device).requires_grad_() for seed in range(2)]
    references = [randn(2, 3, seed=seed).to(device) for seed in (2, 3)] if variant == "dpo" else []
    function = {"simpo": simpo_loss, "hinge": hinge_loss, "dpo": dpo_loss}[variant]
    other = {"winner_mask": "loser_mask", "loser_mask": "winner_mask"}[side]
    full = torch.ones(2, 3, dtype=torch.bool, device=device)
    losses = function(*parts, *references, 1.0, **{side: EMPTY.to(device), other: full})
    losses.sum().backward()
    if device == "cpu":  # elsewhere there are no values: it is enough that nothing asks for them
        assert losses[1] == 0 and losses[0] != 0
        assert all((part.grad[1] == 0).all() and part.grad.isfinite().all() for part in parts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simpo_loss(torch.zeros(3, dtype=torch.long), PAIR[1]), r"^winner_logp: got an int64 tensor"),
        (
            lambda: simpo_loss(PAIR[0], torch.zeros(4)),
            r"^loser_logp: got .* wanted as many pairs as winner_logp has, 3",
        ),
        (lambda: simpo_loss(*PAIR, beta=0), r"^beta: got 0, wanted a finite number > 0"),
        (lambda: hinge_loss(*PAIR, beta=-1), r"^beta: got -1, wanted a finite number > 0"),
        (lambda: dpo_loss(*PAIR, *PAIR, beta=math.nan), r"^beta: got nan, wanted a finite number > 0"),
        (lambda: simpo_loss(*PAIR, beta=math.inf), r"^beta: got inf, wanted a finite number > 0"),
        (lambda: simpo_loss(*PAIR, margin=math.nan), r"^margin: got nan"),
        (lambda: simpo_loss(*PAIR, margin=torch.zeros(2)), r"^margin: got .*shape \(2,\)"),
        (lambda: simpo_loss(*PAIR, winner_mask=torch.ones(3, dtype=torch.bool)), r"^winner_mask: got"),
        (lambda: simpo_loss(*TOKENS, winner_mask=torch.ones(2, 3)), r"^winner_mask: got a float"),
        (lambda: dpo_loss(*PAIR, torch.zeros(2), PAIR[1]), r"^reference_winner_logp: got"),
        (lambda: dpo_loss(None, PAIR[1], *PAIR), r"^winner_logp: got None"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MergeMixError, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dpo_takes_differences_in_float32(dtype):
    values = [torch.full((1, 300), value, dtype=dtype) for value in (-0.0015, -0.0038, -6.0, -6.0)]
    got, wanted = dpo_loss(*values, beta=0.1), dpo_loss(*(value.double() for value in values), beta=0.1)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-6)
    assert abs(got.item() - math.log(2)) > 0.01


def test_without_a_margin_the_hinge_ends_at_0():
    winner, loser = torch.tensor([0.0, -1.0]), torch.tensor([-0.25, -0.5])
    assert hinge_loss(winner, loser).tolist() == [0.0, 0.5]
