"""Preference accuracy and reward margin agree with values computed by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.metrics import preference_accuracy, reward_margin

from ..mix.batches import quick
from .made import pairs

WINNER, LOSER = torch.tensor([-1.0, -2.0, -3.0, -0.5]), torch.tensor([-1.5, -2.0, -1.0, -4.5])
some = st.builds(pairs, batch=st.integers(1, 30), seed=st.integers(0, 99))
INF, NAN = float("inf"), float("nan")


def test_accuracy_and_margin_agree_with_a_calculation_by_hand() -> None:
    assert preference_accuracy(WINNER, LOSER) == 2.5 / 4  # won, tied, lost, won
    assert reward_margin(WINNER, LOSER) == 2.5 / 4  # 0.5, 0, -2, 4
    assert reward_margin(WINNER, LOSER, beta=2.0) == 5 / 4
    assert reward_margin(WINNER, LOSER, 0) == 0
    valid = torch.tensor([True, True, True, False])
    assert preference_accuracy(WINNER, LOSER, valid) == 0.5
    assert reward_margin(WINNER, LOSER, 2.0, valid) == -1


@quick
@given(some, st.randoms(use_true_random=False))
def test_swapping_winner_and_loser_flips_the_result_and_order_does_not_matter(
    made: tuple[torch.Tensor, ...], random: object
) -> None:
    winner, loser, valid = made
    order = list(range(len(winner)))
    random.shuffle(order)
    for measure in (preference_accuracy, reward_margin):
        every, kept = measure(winner, loser), measure(winner, loser, valid=valid)
        close = {"atol": 1e-6, "rtol": 0, "equal_nan": True}
        torch.testing.assert_close(measure(winner[order], loser[order], valid=valid[order]), kept, **close)
        torch.testing.assert_close(measure(winner[valid], loser[valid]), kept, **close)
        torch.testing.assert_close(measure(winner, loser, valid=torch.ones_like(valid)), every, **close)
        # Swapping winner and loser flips both metrics.
        half = 0.5 if measure is preference_accuracy else 0
        torch.testing.assert_close(measure(loser, winner) - half, half - every, **close)
    accuracy = preference_accuracy(winner, loser)
    assert 0 <= accuracy <= 1
    assert accuracy == ((winner > loser).sum() + (winner == loser).sum() / 2) / len(winner)


def test_no_pairs_give_nan() -> None:
    for measure in (preference_accuracy, reward_margin):
        assert measure(WINNER, LOSER, valid=torch.zeros(4, dtype=torch.bool)).isnan()
        assert measure(WINNER[:0], LOSER[:0]).isnan()


def test_pairs_that_do_not_count_may_hold_any_value() -> None:
    winner, loser = torch.tensor([-1.0, NAN, -INF, INF]), torch.tensor([-3.0, NAN, -INF, -1.0])
    valid = torch.tensor([True, False, False, False])
    assert preference_accuracy(winner, loser, valid) == 1
    assert reward_margin(winner, loser, valid=valid) == 2
    assert preference_accuracy(winner, loser).isnan() and reward_margin(winner, loser).isnan()


@pytest.mark.parametrize("nan_in", [0, 1])
def test_nan_does_not_count_as_a_lost_pair(nan_in: int) -> None:
    pair = [torch.zeros(1), torch.zeros(1)]
    pair[nan_in] = torch.full((1,), NAN)
    assert preference_accuracy(*pair).isnan() and reward_margin(*pair).isnan()


def test_infinite_log_probabilities_are_compared() -> None:
    winner, loser = torch.tensor([-1.0, -INF, -INF]), torch.tensor([-INF, -1.0, -INF])
    assert preference_accuracy(winner, loser) == 0.5
    assert reward_margin(winner[:1], loser[:1]) == INF and reward_margin(winner[2:], loser[2:]).isnan()


@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_float64_is_kept(low: torch.dtype) -> None:
    winner, loser = WINNER + 1 / 3, LOSER
    for measure in (preference_accuracy, reward_margin):
        got = measure(winner.to(low), loser.to(low))
        assert got.dtype == torch.float32
        assert torch.equal(got, measure(winner.to(low).float(), loser.to(low).float()))
        assert measure(winner.to(low), loser).dtype == torch.float32
        assert measure(winner, loser.double()).dtype == torch.float64
        assert measure(winner.double(), loser.double(), valid=loser < 0).dtype == torch.float64
    many = torch.zeros(4096, dtype=low)  # a sum in half precision would stop growing too early
    assert preference_accuracy(many + 1, many) == 1


def test_the_margin_has_a_gradient() -> None:
    winner, loser = (x.double().requires_grad_() for x in (WINNER, LOSER))
    reward_margin(winner, loser, 2.0, torch.tensor([True, False, True, False])).backward()
    assert winner.grad.tolist() == [1, 0, 1, 0] and loser.grad.tolist() == [-1, 0, -1, 0]


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("winner_logp", {"winner_logp": [0.0]}),
        ("winner_logp", {"winner_logp": WINNER.view(2, 2)}),
        ("winner_logp", {"winner_logp": WINNER.long()}),
        ("loser_logp", {"loser_logp": LOSER[:3]}),
        ("loser_logp", {"loser_logp": LOSER[:1]}),
        ("loser_logp", {"loser_logp": LOSER.long()}),
        ("valid", {"valid": torch.ones(4)}),
        ("valid", {"valid": torch.ones(1, dtype=torch.bool)}),
        ("valid", {"valid": [True] * 4}),
    ],
)
def test_bad_input_is_named(argument: str, given: dict[str, object]) -> None:
    for measure in (preference_accuracy, reward_margin):
        with pytest.raises(MergeMixError, match=rf"^{argument}: got .* wanted"):
            measure(**{"winner_logp": WINNER, "loser_logp": LOSER, **given})


@pytest.mark.parametrize("beta", [-1.0, NAN, INF, "1", True])
def test_bad_beta_is_named(beta: object) -> None:
    with pytest.raises(MergeMixError, match=r"^beta: got"):
        reward_margin(WINNER, LOSER, beta)
