"""Calibration errors and the Brier score agree with torchmetrics, scikit-learn and values computed by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from timm_mergemix import MergeMixError
from timm_mergemix.metrics import brier_score, calibration_error

from ..mix.batches import quick
from .made import predictions

NORMS = ["l1", "l2", "max"]
BINNINGS = ["width", "mass"]
settings = st.fixed_dictionaries(
    {"bins": st.integers(1, 20), "binning": st.sampled_from(BINNINGS), "norm": st.sampled_from(NORMS)}
)
samples = st.builds(
    predictions,
    batch=st.integers(1, 60),
    classes=st.integers(1, 6),
    seed=st.integers(0, 99),
    digits=st.sampled_from([None, 1, 2]),
)


def confident(confidence: list[float], right: list[bool], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Probabilities of two classes, of which the first is predicted."""
    top = torch.tensor(confidence, dtype=dtype)
    return torch.stack([top, 1 - top], 1), torch.tensor(right).logical_not().long()


def slow(probs: Tensor, labels: Tensor, bins: int, norm: str) -> float:
    """Bins of equal mass for distinct confidences: sorted samples, cut where ``(rank + 0.5) * bins / B`` is whole."""
    rows = sorted(
        (row.max().item(), int(row.argmax()) == label) for row, label in zip(probs, labels.tolist(), strict=True)
    )
    held: dict[int, list[tuple[float, bool]]] = {}
    for rank, row in enumerate(rows):
        held.setdefault((2 * rank + 1) * bins // (2 * len(rows)), []).append(row)
    gaps = [abs(sum(c - r for c, r in rows) / len(rows)) for rows in held.values()]
    weights = [len(rows) / len(probs) for rows in held.values()]
    if norm == "max":
        return max(gaps)
    power = 1 if norm == "l1" else 2
    return sum(w * g**power for w, g in zip(weights, gaps, strict=True)) ** (1 / power)


def below_one(probs: Tensor) -> Tensor:
    """torchmetrics puts a confidence of exactly 1 into an extra bin, so it is moved just below 1 here."""
    return probs.clamp_max(1 - 2**-23)


@quick
@given(samples, st.integers(1, 20), st.sampled_from(NORMS))
def test_bins_of_equal_width_agree_with_torchmetrics(sample: tuple[Tensor, Tensor], bins: int, norm: str) -> None:
    probs, labels = sample
    if probs.shape[1] == 1:  # torchmetrics needs at least two classes
        return
    metric = MulticlassCalibrationError(num_classes=probs.shape[1], n_bins=bins, norm=norm)
    torch.testing.assert_close(
        calibration_error(probs, labels, bins, norm=norm), metric(below_one(probs), labels).float(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("norm", NORMS)
def test_confidences_on_the_edges_are_binned_as_torchmetrics_does(norm: str) -> None:
    sample = confident([0.5, 0.6, 0.6, 0.75, 0.8, 0.9, 1.0, 1.0], [True, False, True, True, False, True, True, False])
    for bins in (1, 2, 4, 5, 10):
        wanted = MulticlassCalibrationError(num_classes=2, n_bins=bins, norm=norm)(below_one(sample[0]), sample[1])
        torch.testing.assert_close(calibration_error(*sample, bins, norm=norm), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("norm", NORMS)
def test_a_confidence_of_exactly_1_is_in_the_last_bin(norm: str, dtype: torch.dtype) -> None:
    # In one bin: |0.875 - 0.5|. In bins of their own the error would be (0.25 + 1) / 2.
    sample = confident([0.75, 1.0], [True, False], dtype)
    assert calibration_error(*sample, 1, norm=norm).item() == 0.375
    assert calibration_error(*sample, 2, norm=norm).item() == 0.375
    assert calibration_error(*sample, 4, norm=norm).item() == 0.375
    assert calibration_error(*confident([1.0] * 4, [True, True, True, False], dtype), 15, norm=norm).item() == 0.25


def test_the_error_agrees_with_a_calculation_by_hand() -> None:
    sample = confident([0.6, 0.7, 0.8, 0.9], [False, True, True, True], torch.float64)
    # Mass, two bins: |0.65 - 0.5| and |0.85 - 1|. Width, two bins: all of them in [0.5, 1).
    for norm in NORMS:
        assert calibration_error(*sample, 2, "mass", norm).item() == pytest.approx(0.15)
        assert calibration_error(*sample, 2, "width", norm).item() == pytest.approx(0.0)
    # Four bins: 0.6, 0.3, 0.2, 0.1.
    assert calibration_error(*sample, 4, "mass").item() == pytest.approx(0.3)
    assert calibration_error(*sample, 4, "mass", "l2").item() == pytest.approx((0.5 / 4) ** 0.5)
    assert calibration_error(*sample, 4, "mass", "max").item() == pytest.approx(0.6)


@quick
@given(st.integers(1, 50), st.integers(0, 99), st.integers(1, 20), st.sampled_from(NORMS))
def test_bins_of_equal_mass_split_the_sorted_samples(batch: int, seed: int, bins: int, norm: str) -> None:
    probs, labels = predictions(batch, seed=seed, dtype=torch.float64)
    assert calibration_error(probs, labels, bins, "mass", norm).item() == pytest.approx(slow(probs, labels, bins, norm))


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_bins_of_equal_mass_agree_with_scikit_learn(bins: int) -> None:
    probs, labels = predictions(240, seed=7, dtype=torch.float64)
    confidence, predicted = probs.max(1)
    accuracy, mean = calibration_curve(predicted == labels, confidence, n_bins=bins, strategy="quantile")
    wanted = abs(accuracy - mean)
    assert len(wanted) == bins and wanted.max() > 0.01
    assert calibration_error(probs, labels, bins, "mass").item() == pytest.approx(wanted.mean())
    assert calibration_error(probs, labels, bins, "mass", "max").item() == pytest.approx(wanted.max())


@quick
@given(samples, settings, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(sample: tuple[Tensor, Tensor], options: dict, random: object) -> None:
    probs, labels = sample
    order = list(range(len(labels)))
    random.shuffle(order)
    assert torch.equal(calibration_error(probs[order], labels[order], **options), calibration_error(*sample, **options))


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("norm", NORMS)
def test_equal_confidences_share_a_bin(binning: str, norm: str) -> None:
    # 0.75 is right three times in four, so the error is 0 unless an edge of a bin splits the equal confidences.
    for right in ([True, True, True, False], [False, True, True, True]):
        assert calibration_error(*confident([0.75] * 4, right), 2, binning, norm) == 0


@quick
@given(settings, st.integers(1, 5), st.integers(2, 4))
def test_perfect_calibration_has_an_error_of_0(options: dict, repeats: int, classes: int) -> None:
    # Of 20 samples of confidence k / 20, k are right.
    sample = [(k / 20, i < k) for k in range(11, 21) for i in range(20)] * repeats
    probs, labels = confident(*map(list, zip(*sample, strict=True)))
    probs = torch.cat([probs, probs.new_zeros(len(probs), classes - 2)], 1)
    assert calibration_error(probs, labels, **options).item() == pytest.approx(0, abs=1e-5)
    wrong = calibration_error(probs, (labels + 1) % classes, **options)
    assert wrong > 0.5


@quick
@given(samples, settings)
def test_errors_are_from_0_to_1_and_scores_from_0_to_2(sample: tuple[Tensor, Tensor], options: dict) -> None:
    error, largest = calibration_error(*sample, **options), calibration_error(*sample, **{**options, "norm": "max"})
    assert 0 <= error <= largest + 1e-6 <= 1 + 2e-6
    score = brier_score(*sample)
    assert -1e-6 <= score <= 2


@quick
@given(samples)
def test_a_single_bin_compares_the_means(sample: tuple[Tensor, Tensor]) -> None:
    confidence, predicted = sample[0].max(1)
    wanted = (confidence.mean() - (predicted == sample[1]).float().mean()).abs()
    for norm in NORMS:
        for binning in BINNINGS:
            torch.testing.assert_close(calibration_error(*sample, 1, binning, norm), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "wanted"), [(torch.float64, torch.float64), (torch.float32, torch.float32)])
def test_precision_is_kept(dtype: torch.dtype, wanted: torch.dtype) -> None:
    for binning in BINNINGS:
        for norm in NORMS:
            assert calibration_error(*predictions(9, dtype=dtype), 5, binning, norm).dtype == wanted
    assert brier_score(*predictions(9, dtype=dtype)).dtype == wanted


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [2, 1000])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, classes: int) -> None:
    probs, labels = predictions(50, classes, dtype=dtype)
    assert not torch.equal(probs.float().sum(1), torch.ones(50))
    for measure in (calibration_error, brier_score):
        got = measure(probs, labels)
        assert got.dtype == torch.float32
        if dtype == torch.float16:
            assert torch.equal(got, measure(probs.float(), labels))


def test_brier_score_agrees_with_scikit_learn() -> None:
    probs, labels = predictions(50, 2, dtype=torch.float64)
    wanted = brier_score_loss(labels.numpy(), probs[:, 1].numpy())
    assert brier_score(probs, labels).item() == pytest.approx(2 * wanted)


def test_the_brier_score_agrees_with_a_calculation_by_hand() -> None:
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    for labels, wanted in (([0, 1, 1], 0.38 / 3), ([0, 1, 2], 2.38 / 3), ([2, 0, 0], 4.98 / 3)):
        torch.testing.assert_close(brier_score(probs, torch.tensor(labels)), torch.tensor(wanted))


@quick
@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_change_the_brier_score(sample: tuple[Tensor, Tensor], random: object) -> None:
    probs, labels = sample
    order = list(range(len(labels)))
    random.shuffle(order)
    torch.testing.assert_close(brier_score(probs[order], labels[order]), brier_score(*sample), atol=1e-6, rtol=0)


def test_brier_score_has_a_gradient() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: brier_score(x.softmax(1), torch.tensor([0, 3, 1])), logits)


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("norm", NORMS)
def test_no_samples_and_nan_give_nan(binning: str, norm: str) -> None:
    nothing = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    probs, labels = predictions(6)
    probs[2] = float("nan")
    for sample in (nothing, (probs, labels)):
        assert calibration_error(*sample, binning=binning, norm=norm).isnan()
        assert brier_score(*sample).isnan()


@pytest.mark.parametrize(
    ("argument", "options"),
    [("bins", {"bins": 0}), ("bins", {"bins": 2.0}), ("binning", {"binning": "equal"}), ("norm", {"norm": "l3"})],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        calibration_error(*predictions(5), **options)


PROBS, LABELS = predictions(5, 3)


@pytest.mark.parametrize(
    ("argument", "probs", "labels"),
    [
        ("probs", [[0.5, 0.5]], LABELS),
        ("probs", PROBS[0], LABELS),
        ("probs", PROBS.long(), LABELS),
        ("probs", torch.zeros(5, 0), LABELS),
        ("probs", PROBS.log(), LABELS),
        ("probs", torch.tensor([[1.5, -0.5, 0.0]]).expand(5, 3), LABELS),
        ("probs", PROBS * 1.01, LABELS),
        ("probs", PROBS * 0.99, LABELS),
        ("labels", PROBS, LABELS[:4]),
        ("labels", PROBS, LABELS.float()),
        ("labels", PROBS, LABELS > 0),
        ("labels", PROBS, LABELS + 3),
        ("labels", PROBS, LABELS - 3),
        ("labels", PROBS, PROBS),
    ],
)
def test_bad_input_is_named(argument: str, probs: object, labels: object) -> None:
    for measure in (calibration_error, brier_score):
        with pytest.raises(MergeMixError, match=rf"^{argument}: got .* wanted"):
            measure(probs, labels)


def test_logits_are_refused_with_their_range() -> None:
    wanted = r"numbers from -2 to 3 in rows that sum to 1 to 1, wanted numbers from 0 to 1 in rows"
    with pytest.raises(MergeMixError, match=wanted):
        calibration_error(torch.tensor([[3.0, -2.0]]), torch.tensor([0]))


def test_the_inputs_are_not_changed_in_place() -> None:
    probs, labels = predictions(9)
    for binning in BINNINGS:
        calibration_error(probs, labels, binning=binning)
    brier_score(probs, labels)
    assert torch.equal(probs, predictions(9)[0]) and torch.equal(labels, predictions(9)[1])
