"""SequencePreferenceLoss: its terms, its gradients, and the rows that do not count."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.vlm import AnswerLogp, Counts, SequencePreferenceLoss

from ..mix.batches import quick
from .made import answers_of, seeded

VARIANTS = ("simpo", "hinge", "dpo")
some = st.integers(0, 9999)
sizes = st.tuples(st.integers(1, 5), st.integers(1, 6))


def made(count=4, length=5, seed=0):
    """Winners, losers and ratios below 1; winner and loser have the same answer."""
    winners = answers_of(count, length, seed)
    losers = answers_of(count, length, seed + 1, mask=winners.mask)
    ratio = torch.rand(count, generator=seeded(seed)) * 0.99
    return winners, losers, ratio


def reference_of(variant, count=4, length=5):
    return None if variant != "dpo" else tuple(answers_of(count, length, seed).detach() for seed in (7, 8))


def tokens_of(answers, row):
    return [value.item() for value in answers.logp[row][answers.mask[row]]]


def mean(values):
    return sum(values) / len(values)


def preference_by_hand(variant, winners, losers, ratio, beta, gamma, reference):
    """The losses of the pairs, in plain Python."""
    losses = []
    for row in range(len(ratio)):
        margin = gamma * (1 - ratio[row].item())
        if variant == "dpo":
            w, lo = (tokens_of(each, row) for each in (winners, losers))
            rw, rl = (tokens_of(AnswerLogp(r.logp, winners.mask), row) for r in reference)
            ahead = beta * ((sum(w) - sum(rw)) - (sum(lo) - sum(rl)))
        else:
            ahead = beta * (mean(tokens_of(winners, row)) - mean(tokens_of(losers, row)))
        losses.append(max(0.0, margin - ahead) if variant == "hinge" else math.log1p(math.exp(margin - ahead)))
    return losses


@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_match_a_computation_by_hand(variant):
    winners, losers, ratio = made()
    reference = reference_of(variant)
    loss = SequencePreferenceLoss(beta=1.3, gamma=0.7, weight=0.4, variant=variant)
    terms = loss(winners, losers, ratio, reference=reference)
    every = [value for row in range(4) for value in tokens_of(winners, row)]
    wanted = mean(preference_by_hand(variant, winners, losers, ratio, 1.3, 0.7, reference))
    assert terms.answer.item() == pytest.approx(-mean(every))
    assert terms.preference.item() == pytest.approx(wanted, rel=1e-6)
    assert terms.total.item() == pytest.approx(-mean(every) + 0.4 * wanted, rel=1e-6)
    ahead = [mean(tokens_of(winners, row)) - mean(tokens_of(losers, row)) for row in range(4)]
    assert terms.reward_margin.item() == pytest.approx(1.3 * mean(ahead))
    assert terms.preference_accuracy.item() == mean([each > 0 for each in ahead])


def test_rows_map_losers_to_their_clean_images():
    winners, losers, ratio = made()
    rows = torch.tensor([3, 0])
    some, shares = losers.take(rows), ratio[rows]
    got = SequencePreferenceLoss()(winners, some, shares, rows)
    wanted = SequencePreferenceLoss()(winners.take(rows), some, shares)
    assert torch.equal(got.preference, wanted.preference)
    assert torch.equal(got.answer, SequencePreferenceLoss()(winners).answer)
    assert not torch.equal(got.answer, wanted.answer)


def test_the_loss_of_a_pair_does_not_depend_on_padding():
    winners, losers, ratio = made()
    padded = AnswerLogp(
        torch.nn.functional.pad(losers.logp, (3, 2), value=-50.0), torch.nn.functional.pad(losers.mask, (3, 2))
    )
    got, wanted = (SequencePreferenceLoss()(winners, each, ratio).preference for each in (padded, losers))
    torch.testing.assert_close(got, wanted)
    published = [torch.where(each.mask, each.logp, 0).sum(1) / each.mask.shape[1] for each in (padded, losers)]
    assert not torch.allclose(*published)


def test_gradients_reach_winners_and_losers():
    winners, losers, ratio = made()
    grads = torch.autograd.grad(SequencePreferenceLoss()(winners, losers, ratio).preference, (winners[0], losers[0]))
    for answers, grad in zip((winners, losers), grads, strict=True):
        assert (grad[answers.mask] != 0).all() and (grad[~answers.mask] == 0).all()
    assert (grads[0] <= 0).all() and (grads[1] >= 0).all()


@pytest.mark.parametrize(("detached", "learns"), [("winner", [False, True]), ("loser", [True, False])])
def test_a_detached_side_gets_no_gradient(detached, learns):
    winners, losers, ratio = made()
    loss = SequencePreferenceLoss(**{f"detach_{detached}": True})
    terms = loss(winners, losers, ratio)
    grads = torch.autograd.grad(terms.preference, (winners[0], losers[0]), allow_unused=True, retain_graph=True)
    assert [grad is not None and bool(grad.any()) for grad in grads] == learns
    assert torch.equal(terms.preference, SequencePreferenceLoss()(winners, losers, ratio).preference)
    assert torch.autograd.grad(terms.answer, winners[0])[0].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_match_finite_differences(variant):
    winners, losers, ratio = made(3, 3)
    ratio[1] = 1
    loss = SequencePreferenceLoss(beta=1.3, gamma=0.8, weight=0.7, variant=variant)
    rows, reference = torch.tensor([2, 0, 1]), reference_of(variant, 3, 3)
    losers = AnswerLogp(losers.logp, winners.mask[rows])

    def total(first, second):
        return loss(AnswerLogp(first, winners.mask), AnswerLogp(second, losers.mask), ratio, rows, reference).total

    assert torch.autograd.gradcheck(total, (winners.logp, losers.logp))


@quick
@given(some, sizes, st.sampled_from(VARIANTS), st.lists(st.booleans(), min_size=5, max_size=5))
def test_pairs_of_ratio_1_contribute_nothing(seed, size, variant, is_pair):
    winners, losers, ratio = made(*size, seed)
    is_pair = torch.tensor(is_pair[: size[0]])
    reference = reference_of(variant, *size)
    loss = SequencePreferenceLoss(variant=variant)
    got = loss.compare(winners, losers, ratio.where(is_pair, 1), reference)
    rows = is_pair.nonzero().squeeze(1)
    only = None if reference is None else tuple(each.take(rows) for each in reference)
    wanted = loss.compare(winners.take(rows), losers.take(rows), ratio[rows], only)
    torch.testing.assert_close(got, wanted)
    assert got.pairs == is_pair.sum()
    grads = torch.autograd.grad(got.loss, (winners[0], losers[0]))
    assert all((grad[~is_pair] == 0).all() for grad in grads)


@quick
@given(some, sizes, st.sampled_from(VARIANTS), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_nonfinite_values_in_rows_that_are_not_pairs_change_neither_values_nor_gradients(seed, size, variant, value):
    winners, losers, ratio = made(size[0] + 1, size[1], seed)
    ratio[-1] = 1
    reference = reference_of(variant, size[0] + 1, size[1])
    loss = SequencePreferenceLoss(variant=variant)
    broken = losers.logp.detach().clone()
    broken[-1] = value
    broken.requires_grad_()
    got = loss(winners, AnswerLogp(broken, losers.mask), ratio, reference=reference)
    torch.testing.assert_close(got, loss(winners, losers, ratio, reference=reference))
    grads = torch.autograd.grad(got.total, (winners.logp, broken))
    wanted = torch.autograd.grad(loss(winners, losers, ratio, reference=reference).total, (winners[0], losers[0]))
    torch.testing.assert_close(grads, wanted)


@quick
@given(some, sizes)
def test_a_row_with_an_empty_answer_is_not_a_pair(seed, size):
    winners, losers, ratio = made(*size, seed)
    mask = losers.mask.clone()
    mask[0] = False
    sums = SequencePreferenceLoss().compare(winners, AnswerLogp(losers.logp, mask), ratio)
    rest = torch.arange(1, size[0])
    torch.testing.assert_close(
        sums, SequencePreferenceLoss().compare(*(x.take(rest) for x in (winners, losers)), ratio[1:])
    )


@quick
@given(some, sizes, st.sampled_from(VARIANTS))
def test_means_are_sums_divided_by_counts(seed, size, variant):
    winners, losers, ratio = made(*size, seed)
    reference = reference_of(variant, *size)
    loss = SequencePreferenceLoss(weight=0.3, variant=variant)
    own = loss(winners, losers, ratio, reference=reference)
    assert torch.equal(own.preference, own.sums.loss / own.sums.pairs)
    assert torch.equal(own.reward_margin, own.sums.reward / own.sums.pairs)
    assert torch.equal(own.preference_accuracy, own.sums.won / own.sums.pairs)
    counted = loss(winners, losers, ratio, reference=reference, counts=Counts(winners.tokens, size[0]))
    torch.testing.assert_close(counted, own)
    twice = loss(winners, losers, ratio, reference=reference, counts=Counts(2 * winners.tokens, 2 * size[0]))
    torch.testing.assert_close([2 * each for each in twice[:3]], list(own[:3]))
    torch.testing.assert_close(twice[3:], own[3:])


@quick
@given(some, st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_parts_of_a_batch_with_common_counts_add_up_to_the_whole(seed, first, second, as_tensors):
    winners, losers, ratio = made(first + second, 5, seed)
    loss = SequencePreferenceLoss(weight=0.3)
    whole = loss(winners, losers, ratio)
    counts = Counts(winners.tokens, torch.tensor(len(ratio)))
    counts = counts if as_tensors else Counts(int(counts.tokens), int(counts.pairs))
    parts = [torch.arange(first), torch.arange(first, first + second)]
    terms = [loss(winners.take(rows), losers.take(rows), ratio[rows], counts=counts) for rows in parts]
    for name in ("total", "answer", "preference"):
        torch.testing.assert_close(sum(getattr(each, name) for each in terms), getattr(whole, name))


def test_without_pairs_the_preference_is_zero():
    winners, losers, _ = made()
    terms = SequencePreferenceLoss()(winners, losers, torch.ones(4))
    assert terms.preference == 0 and terms.total == terms.answer and terms.sums.pairs == 0
    assert terms.reward_margin.isnan() and terms.preference_accuracy.isnan()
    terms.total.backward()
    assert losers.logp.grad.eq(0).all() and winners.logp.grad.isfinite().all()


@pytest.mark.parametrize("weight", [0, 0.5])
def test_without_losers_the_total_is_the_answer_loss(weight):
    winners, losers, ratio = made()
    lost = () if weight else (losers, ratio)
    terms = SequencePreferenceLoss(weight=weight)(winners, *lost)
    assert terms.total is terms.answer
    assert terms.preference == 0 and terms.sums.pairs == 0 and terms.sums.pairs.dtype == torch.int64
    assert terms.reward_margin.isnan() and terms.preference_accuracy.isnan()
    assert terms.answer == SequencePreferenceLoss()(winners, losers, ratio).answer


def test_empty_answers_have_loss_0():
    answers = AnswerLogp(torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, dtype=torch.bool))
    for counts in (None, Counts(0, 0)):
        assert SequencePreferenceLoss()(answers, counts=counts).total == 0


def test_the_margin_grows_with_the_share_that_is_mixed_away():
    winners, losers, _ = made()
    loss = SequencePreferenceLoss(gamma=2.0)
    faint, strong = (loss(winners, losers, torch.full((4,), share)) for share in (0.95, 0.05))
    assert strong.preference > faint.preference
    assert strong.reward_margin == faint.reward_margin


def test_ties_count_as_half_in_the_accuracy():
    winners, _, ratio = made()
    terms = SequencePreferenceLoss(gamma=0.0)(winners, winners, ratio)
    assert terms.preference_accuracy == 0.5 and terms.reward_margin == 0
    torch.testing.assert_close(terms.preference, torch.tensor(2.0, dtype=torch.float64).log())


def test_only_the_first_three_terms_carry_a_gradient():
    terms = SequencePreferenceLoss()(*made())
    assert [term.requires_grad for term in terms[:5]] == [True, True, True, False, False]
    assert [part.requires_grad for part in terms.sums] == [True, False, False, False]


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_are_not_read_on_other_devices(variant):
    winners, losers = (AnswerLogp(*(part.detach().to("meta") for part in each)) for each in made()[:2])
    rows, ratio = torch.arange(4, device="meta"), torch.ones(4, device="meta")
    reference = (winners, losers) if variant == "dpo" else None
    loss = SequencePreferenceLoss(variant=variant)
    for counts in (None, Counts(3, 2), Counts(winners.tokens, torch.tensor(2, device="meta"))):
        terms = loss(winners, losers, ratio, rows, reference, counts)
        assert {part.device.type for part in (*terms[:5], *terms.sums)} == {"meta"}


def test_repr_shows_the_settings():
    shown = repr(SequencePreferenceLoss(beta=2.0, gamma=0.5, weight=0.1, variant="hinge"))
    assert shown == "SequencePreferenceLoss(hinge, beta=2.0, gamma=0.5, weight=0.1)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0}, "^beta: got 0, wanted a finite number > 0"),
        ({"gamma": -1}, "^gamma: got -1"),
        ({"weight": math.nan}, "^weight: got nan"),
        ({"variant": "ppo"}, r"^variant: got 'ppo', wanted one of 'simpo', 'hinge', 'dpo'"),
        ({"detach_loser": 1}, "^detach_loser: got 1, wanted True or False"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, message):
    with pytest.raises(MergeMixError, match=message):
        SequencePreferenceLoss(**options)


def test_missing_or_mismatched_input_is_refused_by_name():
    winners, losers, ratio = made()
    loss, few = SequencePreferenceLoss(), torch.arange(2)
    with pytest.raises(MergeMixError, match=r"^ratio: got None, wanted the share of each mix that is the clean image"):
        loss(winners, losers)
    with pytest.raises(MergeMixError, match=r"^ratio: got .*shape \(2,\), wanted a float tensor of shape \(4,\)"):
        loss(winners, losers, ratio[:2])
    with pytest.raises(MergeMixError, match=r"^losers: got .*shape \(2, 5\), wanted as many rows as winners has, 4"):
        loss(winners, losers.take(few), ratio)
    with pytest.raises(MergeMixError, match=r"^reference: got None, wanted the reference model's log-probabilities"):
        SequencePreferenceLoss(variant="dpo")(winners, losers, ratio)
