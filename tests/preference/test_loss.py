"""The terms and gradients of PreferenceLoss."""

from __future__ import annotations

import math

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError, MixedBatch, PreferenceLoss, SoftTargetLoss
from timm_mergemix.preference.config import VARIANTS

from ..merge.reference import randn


def batch(labels=(0, 1, 1, 2), ratio=(0.7, 0.4, 0.9, 1.0), index=(1, 2, 0, 0), **more):
    """Row 1 has a partner of the same class; row 3 is not mixed."""
    images = randn(4, 3, 8, 8)
    return MixedBatch(
        images=images,
        labels=torch.tensor(labels),
        ratio=torch.tensor(ratio),
        index=torch.tensor(index),
        mask=None,
        saliency=None,
        raw=images,
        kind=("mergemix",) * 4,
        num_classes=5,
        smoothing=0.1,
        **more,
    )


def logits(dtype=torch.float64):
    return (randn(4, 5, seed=seed).to(dtype).requires_grad_() for seed in (0, 1))


def by_hand(winner, loser, beta, gamma, loss):
    """Preference, margin and accuracy of the two pairs, in plain Python."""
    losses, margins, wins = [], [], []
    for row, mass in ((0, 0.7), (2, 0.9)):
        label = (0, 1, 1, 2)[row]
        ahead = (winner[row].log_softmax(0)[label] - loser[row].log_softmax(0)[label]).item()
        losses.append(loss(beta * ahead, gamma * (1 - mass)))
        margins.append(beta * ahead)
        wins.append(ahead > 0)
    return sum(losses) / 2, sum(margins) / 2, sum(wins) / 2


FORMULAS = {
    "simpo": lambda ahead, margin: math.log1p(math.exp(margin - ahead)),
    "hinge": lambda ahead, margin: max(0.0, margin - ahead),
}


@pytest.mark.parametrize("variant", FORMULAS)
def test_terms_match_a_computation_by_hand(variant):
    winner, loser = logits()
    terms = PreferenceLoss(beta=2.0, gamma=1.5, weight=0.3, variant=variant)(winner, loser, batch())
    preference, margin, accuracy = by_hand(winner, loser, 2.0, 1.5, FORMULAS[variant])
    soft = SoftTargetLoss()(loser, batch())
    torch.testing.assert_close(terms.soft_target, soft)
    assert terms.preference.item() == pytest.approx(preference, rel=1e-6)
    assert terms.reward_margin.item() == pytest.approx(margin, rel=1e-6)
    assert terms.preference_accuracy.item() == accuracy
    torch.testing.assert_close(terms.total, soft + 0.3 * terms.preference)


def test_dpo_subtracts_the_reference():
    winner, loser = logits()
    reference = tuple(randn(4, 5, seed=seed).double() for seed in (2, 3))
    loss = PreferenceLoss(variant="dpo", beta=0.5, gamma=0.0)
    terms = loss(winner, loser, batch(), reference)
    losses = []
    for row, label in ((0, 0), (2, 1)):
        w, lo, rw, rl = (x[row].log_softmax(0)[label].item() for x in (winner, loser, *reference))
        losses.append(math.log1p(math.exp(-0.5 * ((w - lo) - (rw - rl)))))
    assert terms.preference.item() == pytest.approx(sum(losses) / 2, rel=1e-6)
    with pytest.raises(MergeMixError, match=r"^reference: got None"):
        loss(winner, loser, batch())


def test_rows_that_are_not_pairs_change_neither_terms_nor_gradients():
    winner, loser = logits()
    loss = PreferenceLoss()
    terms = loss(winner, loser, batch())
    with torch.no_grad():
        others = [x.clone() for x in (winner, loser)]
        for x in others:
            x[[1, 3]] += randn(2, 5, seed=9)
    changed = loss(*others, batch())
    assert changed.preference == terms.preference
    assert changed.reward_margin == terms.reward_margin
    terms.preference.backward()
    assert (winner.grad[[1, 3]] == 0).all() and (loser.grad[[1, 3]] == 0).all()
    assert (winner.grad[[0, 2]] != 0).all() and (loser.grad[[0, 2]] != 0).all()


def test_without_pairs_the_preference_is_zero():
    winner, loser = logits()
    terms = PreferenceLoss()(winner, loser, batch(labels=(1, 1, 1, 1)))
    assert terms.preference == 0 and terms.total == terms.soft_target
    assert terms.reward_margin.isnan() and terms.preference_accuracy.isnan()
    terms.total.backward()
    assert winner.grad.isfinite().all() and loser.grad.isfinite().all()


@pytest.mark.parametrize("variant", FORMULAS)
def test_a_single_pair_has_the_terms_of_its_formula(variant):
    winner, loser = (x.detach() for x in logits())
    single = batch(ratio=(0.7, 0.4, 1.0, 1.0))  # row 1 has a partner of the same class; rows 2 and 3 are not mixed
    got = PreferenceLoss(beta=2.0, gamma=1.5, variant=variant)(winner, loser, single)
    ahead = (winner[0].log_softmax(0)[0] - loser[0].log_softmax(0)[0]).item()
    assert got.preference.item() == pytest.approx(FORMULAS[variant](2.0 * ahead, 1.5 * (1 - 0.7)))
    assert got.reward_margin.item() == pytest.approx(2.0 * ahead)
    assert got.preference_accuracy.item() == (ahead > 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_match_finite_differences(variant):
    winner, loser = logits()
    reference = tuple(randn(4, 5, seed=seed).double() for seed in (2, 3)) if variant == "dpo" else None
    mixed = batch()
    loss = PreferenceLoss(beta=1.3, gamma=0.8, weight=0.7, variant=variant)
    assert torch.autograd.gradcheck(lambda w, lo: loss(w, lo, mixed, reference).total, (winner, loser))


@pytest.mark.parametrize(
    ("detached", "learns"), [("winner", (False, True)), ("loser", (True, False)), (None, (True, True))]
)
def test_a_detached_side_gets_no_gradient(detached, learns):
    winner, loser = logits()
    options = {} if detached is None else {f"detach_{detached}": True}
    preference = PreferenceLoss(**options)(winner, loser, batch()).preference
    grads = torch.autograd.grad(preference, (winner, loser), allow_unused=True)
    assert tuple(grad is not None and bool(grad.any()) for grad in grads) == learns


def test_the_metrics_carry_no_gradient():
    terms = PreferenceLoss()(*logits(), batch())
    assert [term.requires_grad for term in terms] == [True, True, True, False, False]


def test_the_margin_grows_with_the_share_that_is_mixed_away():
    winner, loser = (x.detach() for x in logits())
    faint, strong = (PreferenceLoss(gamma=2.0)(winner, loser, batch(ratio=(r, 0.4, r, 1.0))) for r in (0.95, 0.05))
    assert strong.preference > faint.preference
    assert strong.reward_margin == faint.reward_margin


def test_weight_0_does_not_need_winner_logits():
    _, loser = logits()
    terms = PreferenceLoss(weight=0)(None, loser, batch())
    assert terms.total is terms.soft_target
    assert terms.reward_margin.isnan()
    with pytest.raises(MergeMixError, match=r"^winner_logits: got None, wanted the logits"):
        PreferenceLoss(weight=0.1)(None, loser, batch())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weight_0_gives_finite_gradients_even_if_the_preference_is_not_finite(value):
    _, loser = logits()
    terms = PreferenceLoss(weight=0)(torch.full((4, 5), value, dtype=torch.float64), loser, batch())
    assert terms.total.isfinite()
    assert terms.total == terms.soft_target
    terms.total.backward()
    assert loser.grad.isfinite().all() and loser.grad.any()


def test_the_margin_uses_the_measured_ratio_not_the_gaussian_one():
    winner, loser = (x.detach() for x in logits())
    noisy = batch(ratio=(0.1, 0.2, 0.3, 1.0), measured=torch.tensor([0.7, 0.4, 0.9, 1.0]))
    loss = PreferenceLoss()
    assert loss(winner, loser, noisy).preference == loss(winner, loser, batch()).preference


def test_with_bce_the_reward_is_the_log_sigmoid():
    winner, loser = (x.detach() for x in logits())
    terms = PreferenceLoss(soft_target=SoftTargetLoss(bce=True))(winner, loser, batch())
    ahead = [
        (winner[row, label].sigmoid().log() - loser[row, label].sigmoid().log()).item()
        for row, label in ((0, 0), (2, 1))
    ]
    assert terms.reward_margin.item() == pytest.approx(sum(ahead) / 2, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    winner, loser = (x.detach().to(dtype) * 1000 for x in logits())
    winner.requires_grad_()
    terms = PreferenceLoss()(winner, loser, batch())
    assert terms.total.dtype == torch.float32 and terms.total.isfinite()
    terms.total.backward()
    assert winner.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0}, "^beta: got 0"),
        ({"gamma": -1}, "^gamma: got -1"),
        ({"weight": math.nan}, "^weight: got nan"),
        ({"variant": "ppo"}, r"^variant: got 'ppo', wanted one of 'simpo', 'hinge', 'dpo'"),
        (
            {"soft_target": SoftTargetLoss(reduction="none")},
            '^soft_target: got .*wanted a SoftTargetLoss with reduction="mean"',
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(options, message):
    with pytest.raises(MergeMixError, match=message):
        PreferenceLoss(**options)


def test_label_rows_are_refused():
    winner, loser = logits()
    rows = mm.Mixup(num_classes=5, prob=1.0).mix(randn(4, 3, 8, 8), torch.eye(5)[[0, 1, 1, 2]])
    with pytest.raises(MergeMixError, match=r"^labels: got a float32 tensor"):
        PreferenceLoss()(winner, loser, rows)


def test_winner_logits_of_another_shape_are_refused():
    winner, loser = logits()
    with pytest.raises(MergeMixError, match=r"^winner_logits: got .*shape \(3, 5\)"):
        PreferenceLoss()(winner[:3], loser, batch())


def test_compare_gives_the_same_preference_as_forward():
    winner, loser = logits()
    made = batch()
    loss = PreferenceLoss(beta=1.5, gamma=2.0)
    terms = loss(winner, loser, made)
    assert torch.equal(torch.stack(loss.compare(winner, loser, made.labels, made.mass)), torch.stack(terms[2:]))
    with pytest.raises(MergeMixError, match="mass: got"):
        loss.compare(winner, loser, made.labels, made.mass[:2])


def test_infinite_logits_in_a_row_that_is_not_a_pair_leave_gradients_finite():
    winner, loser = (x.detach().clone() for x in logits())
    winner[3, 2] = loser[3, 2] = -torch.inf
    winner.requires_grad_()
    PreferenceLoss()(winner, loser, batch()).preference.backward()
    assert winner.grad.isfinite().all()


def test_reference_logits_of_another_shape_are_refused():
    winner, loser = logits()
    with pytest.raises(MergeMixError, match=r"^reference\[1\]: got .*shape \(4, 7\)"):
        PreferenceLoss(variant="dpo")(winner, loser, batch(), (randn(4, 5), randn(4, 7)))


def test_nan_logits_give_nan_metrics():
    _, loser = logits()
    terms = PreferenceLoss()(torch.full((4, 5), torch.nan), loser, batch())
    assert terms.preference_accuracy.isnan() and terms.reward_margin.isnan()


@pytest.mark.parametrize("which", ["winner_logits", "loser_logits"])
def test_logits_that_are_not_a_matrix_are_refused_by_name(which):
    logits = {"winner_logits": randn(2, 3), "loser_logits": randn(2, 3)} | {which: randn(2)}
    with pytest.raises(MergeMixError, match=f"^{which}: "):
        PreferenceLoss().compare(**logits, labels=torch.tensor([0, 1]), mass=torch.full((2,), 0.5))


def test_beta_gamma_and_weight_default_to_1():
    assert (PreferenceLoss().beta, PreferenceLoss().gamma, PreferenceLoss().weight) == (1.0, 1.0, 1.0)


def test_losses_show_their_settings() -> None:
    shown = repr(PreferenceLoss(beta=2.0, gamma=0.5, weight=0.25, variant="hinge"))
    assert "hinge, beta=2.0, gamma=0.5, weight=0.25, reduction=mean" in shown
    assert "SoftTargetLoss(smoothing=0.0, bce=False, reduction=mean)" in shown
    assert repr(mm.DenseSoftTargetLoss(ignore_index=7)) == "DenseSoftTargetLoss(ignore_index=7, reduction=mean)"
