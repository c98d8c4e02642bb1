"""Metrics accumulated over batches agree with the functions on all samples at once."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities.data import dim_zero_cat

from timm_mergemix import MergeMixError, metrics

from ..mix.batches import quick
from .made import pairs, predictions

# Each class and its function, with their settings.
CASES: dict[str, tuple[type[Metric], Any, dict[str, Any]]] = {
    "width": (metrics.CalibrationError, metrics.calibration_error, {"bins": 10, "norm": "l2"}),
    "mass": (metrics.CalibrationError, metrics.calibration_error, {"bins": 4, "binning": "mass"}),
    "max": (metrics.CalibrationError, metrics.calibration_error, {"binning": "mass", "norm": "max"}),
    "brier": (metrics.BrierScore, metrics.brier_score, {}),
    "preference": (metrics.PreferenceAccuracy, metrics.preference_accuracy, {}),
    "margin": (metrics.RewardMargin, metrics.reward_margin, {"beta": 2.5}),
}
each_metric = pytest.mark.parametrize("name", CASES)
close = {"atol": 1e-6, "rtol": 1e-5, "equal_nan": True}


def make(name: str, **options: Any) -> Metric:
    return CASES[name][0](**CASES[name][2], **options)


def function(name: str, sample: tuple[Tensor, ...]) -> Tensor:
    _, wanted, options = CASES[name]
    names = ("probs", "labels") if len(sample) == 2 else ("winner_logp", "loser_logp", "valid")
    return wanted(**dict(zip(names, sample, strict=True)), **options)


def draw(name: str, batch: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    return (pairs if CASES[name][0].higher_is_better else predictions)(batch, seed=seed, dtype=dtype)


def part(sample: tuple[Tensor, ...], start: int, stop: int) -> tuple[Tensor, ...]:
    return tuple(tensor[start:stop] for tensor in sample)


@quick
@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_batches_accumulate(name: str, sizes: list[int], seed: int) -> None:
    sample, metric, start = draw(name, sum(sizes), seed), make(name), 0
    for size in sizes:
        metric.update(*part(sample, start, start + size))
        start += size
    torch.testing.assert_close(metric.compute(), function(name, sample), **close)


@each_metric
def test_forward_returns_the_metric_of_the_batch_and_accumulates(name: str) -> None:
    sample, metric = draw(name, 40), make(name)
    for half in (part(sample, 0, 15), part(sample, 15, 40)):
        torch.testing.assert_close(metric(*half), function(name, half), **close)
        assert not torch.allclose(function(name, half), function(name, sample))
    torch.testing.assert_close(metric.compute(), function(name, sample), **close)


@each_metric
def test_reset_discards_the_earlier_samples(name: str) -> None:
    metric, sample = make(name), draw(name, 20, seed=1)
    metric.update(*draw(name, 30))
    before = metric.compute()
    metric.reset()
    metric.update(*sample)
    torch.testing.assert_close(metric.compute(), function(name, sample), **close)
    assert metric.compute() != before


@quick
@given(st.sampled_from(sorted(CASES)), st.integers(0, 20), st.integers(0, 20), st.integers(0, 99))
def test_the_states_of_two_metrics_can_be_merged(name: str, here: int, there: int, seed: int) -> None:
    sample = draw(name, here + there, seed)
    one, other = make(name), make(name)
    one.update(*part(sample, 0, here))
    other.update(*part(sample, here, here + there))
    one._reduce_states({state: getattr(other, state) for state in other._defaults})
    one._computed = None
    torch.testing.assert_close(one.compute(), function(name, sample), **close)


def gathered(metric: Metric, other: Metric) -> Tensor:
    """The value that ``metric`` computes after gathering its states with those of another process."""
    states = [getattr(other, name) for name in other._reductions]
    # torchmetrics sends a list of tensors as one tensor, which is empty if the list is.
    sent = iter([dim_zero_cat(state or [torch.zeros(0)]) if isinstance(state, list) else state for state in states])
    metric.dist_sync_fn = lambda tensor, group: [tensor, next(sent)]
    metric.distributed_available_fn = lambda: True
    return metric.compute()


@each_metric
@pytest.mark.parametrize(("first", "second", "rest"), [(10, 7, 13), (12, 0, 18), (15, 15, 0)])
def test_processes_accumulate(name: str, first: int, second: int, rest: int) -> None:
    sample = draw(name, 30, seed=3)
    one, other = make(name), make(name)
    one.update(*part(sample, 0, first))
    one.update(*part(sample, first, first + second))
    if rest:
        other.update(*part(sample, first + second, 30))
    torch.testing.assert_close(gathered(one, other), function(name, sample), **close)
    # Afterwards, each process must have its own states again.
    own = part(sample, 0, first + second)
    one.distributed_available_fn, one._computed = (lambda: False), None
    torch.testing.assert_close(one.compute(), function(name, own), **close)


@each_metric
def test_a_process_without_samples_changes_nothing(name: str) -> None:
    sample, idle, other = draw(name, 20), make(name), make(name)
    other.update(*sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns about compute before update
        torch.testing.assert_close(gathered(idle, other), function(name, sample), **close)


@each_metric
def test_without_samples_the_metric_is_nan(name: str) -> None:
    metric = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns about compute before update
        assert math.isnan(metric.compute())
    metric.update(*draw(name, 0))
    assert math.isnan(metric.compute())
    if metric.higher_is_better:
        winner, loser, valid = draw(name, 5)
        metric.update(winner, loser, torch.zeros_like(valid))
        assert math.isnan(metric.compute())


@pytest.mark.parametrize("name", ["preference", "margin"])
def test_all_pairs_count_by_default(name: str) -> None:
    winner, loser, valid = draw(name, 30)
    metric = make(name)
    metric.update(winner, loser)
    torch.testing.assert_close(metric.compute(), function(name, (winner, loser, torch.ones_like(valid))), **close)
    assert not torch.allclose(metric.compute(), function(name, (winner, loser, valid)))


@each_metric
def test_half_precision_is_computed_in_float32_and_float64_is_kept(name: str) -> None:
    for dtype, wanted in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        metric, sample = make(name), draw(name, 30, dtype=dtype)
        metric.update(*sample)
        metric.update(*sample)
        assert metric.compute().dtype == wanted
        torch.testing.assert_close(metric.compute(), function(name, sample))


@each_metric
def test_the_states_keep_no_graph(name: str) -> None:
    metric, (first, *others) = make(name), draw(name, 9)
    metric(first.requires_grad_(), *others)
    for state in metric._defaults:
        held = getattr(metric, state)
        assert not any(tensor.requires_grad for tensor in (held if isinstance(held, list) else [held]))


@each_metric
def test_copies_and_pickles_accumulate_independently(name: str) -> None:
    metric, sample = make(name), draw(name, 20)
    metric.update(*part(sample, 0, 9))
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        twin.update(*part(sample, 9, 20))
        torch.testing.assert_close(twin.compute(), function(name, sample), **close)
    torch.testing.assert_close(metric.compute(), function(name, part(sample, 0, 9)), **close)


@each_metric
def test_a_checkpoint_contains_the_accumulated_states(name: str) -> None:
    metric, loaded, sample = make(name), make(name), draw(name, 20)
    metric.persistent(True)
    metric.update(*sample)
    loaded.load_state_dict(metric.state_dict())
    loaded.update(*draw(name, 0))
    torch.testing.assert_close(loaded.compute(), function(name, sample), **close)


@pytest.mark.parametrize("first", ["as the others", "without a pair", "empty"])
def test_a_collection_does_not_confuse_its_metrics(first: str) -> None:
    winner, loser, valid = pairs(30)
    names = {name: make(name) for name in ("preference", "margin")}
    collection = MetricCollection({**names, "other": metrics.RewardMargin(beta=1.0)})
    if first == "empty":  # the sums are equal in all of them, and a collection groups metrics with equal states
        collection.update(winner[:0], loser[:0], valid[:0])
    else:
        collection.update(winner, loser, valid if first == "as the others" else torch.zeros_like(valid))
    collection.update(winner, loser, valid)
    got = collection.compute()
    for name in names:
        torch.testing.assert_close(got[name], function(name, (winner, loser, valid)), **close)
    torch.testing.assert_close(got["margin"], 2.5 * got["other"])
    probs, labels = predictions(30)
    calibration = MetricCollection({name: make(name) for name in ("width", "mass", "max", "brier")})
    calibration.update(probs, labels)
    calibration.update(probs, labels)
    for name, value in calibration.compute().items():
        torch.testing.assert_close(value, function(name, (probs.repeat(2, 1), labels.repeat(2))), **close)


@pytest.mark.parametrize(
    ("argument", "kind", "options"),
    [
        ("bins", metrics.CalibrationError, {"bins": 0}),
        ("binning", metrics.CalibrationError, {"binning": "equal"}),
        ("norm", metrics.CalibrationError, {"norm": "l0"}),
        ("beta", metrics.RewardMargin, {"beta": -1}),
    ],
)
def test_bad_settings_are_named(argument: str, kind: type[Metric], options: dict[str, Any]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        kind(**options)


@each_metric
def test_bad_batches_are_refused_and_not_added(name: str) -> None:
    metric, sample = make(name), draw(name, 20)
    metric.update(*sample)
    with pytest.raises(MergeMixError, match=r"^\w+: got .* wanted"):
        metric.update(sample[0], sample[1][:3], *sample[2:])
    with pytest.raises(MergeMixError, match=r"^\w+: got .* wanted"):
        metric.update(sample[0].tolist(), *sample[1:])
    torch.testing.assert_close(metric.compute(), function(name, sample), **close)


def test_options_of_torchmetrics_are_passed_on() -> None:
    for name in CASES:
        assert make(name, sync_on_compute=False).sync_on_compute is False


def test_beta_scales_the_margin_and_is_1_by_default() -> None:
    for metric, wanted in ((metrics.RewardMargin(beta=0.5), 1.0), (metrics.RewardMargin(), 2.0)):
        metric.update(torch.tensor([0.0, 0.0]), torch.tensor([-1.0, -3.0]))
        assert metric.compute().item() == pytest.approx(wanted)
