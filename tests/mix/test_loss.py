"""SoftTargetLoss is the cross entropy of torch and timm, on each kind of target."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor

from timm_mergemix import MergeMixError, MixedBatch, Mixup, SoftTargetLoss

from .batches import mergemix, noise, quick

CLASSES = 7


def logits(batch: int = 5, classes: int = CLASSES, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed)).mul(3).to(dtype)


def labels(batch: int = 5, classes: int = CLASSES) -> Tensor:
    return torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(3))


def soft(batch: int = 5, classes: int = CLASSES) -> Tensor:
    return logits(batch, classes, seed=9).softmax(1)


def mixed(
    smoothing: float = 0.0, batch: int = 5, rows: bool = False, classes: int = CLASSES, **options: object
) -> MixedBatch:
    mixer = mergemix(
        mode="elem",
        num_classes=classes,
        label_smoothing=smoothing,
        generator=torch.Generator().manual_seed(1),
        **options,
    )
    own = (logits(batch, classes, seed=4) > 0).long() if rows else labels(batch, classes)
    return mixer.mix(noise(batch, 3, 16, 16), own)


def test_one_hot_and_integers_are_torchs_cross_entropy() -> None:
    x, y = logits(), labels()
    for reduction in ("mean", "sum", "none"):
        loss, wanted = SoftTargetLoss(reduction=reduction), F.cross_entropy(x, y, reduction=reduction)
        torch.testing.assert_close(loss(x, y), wanted)
        torch.testing.assert_close(loss(x, F.one_hot(y, CLASSES)), wanted)
        torch.testing.assert_close(loss(x, F.one_hot(y, CLASSES).double()), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_is_torchs_and_timms(smoothing: float) -> None:
    x, y = logits(), labels()
    loss = SoftTargetLoss(smoothing)(x, y)
    torch.testing.assert_close(loss, F.cross_entropy(x, y, label_smoothing=smoothing))
    if smoothing < 1:
        torch.testing.assert_close(loss, LabelSmoothingCrossEntropy(smoothing)(x, y))


def test_soft_targets_are_timms() -> None:
    x, target = logits(), soft()
    torch.testing.assert_close(SoftTargetLoss()(x, target), SoftTargetCrossEntropy()(x, target))
    # They are smoothed already.
    assert torch.equal(SoftTargetLoss(0.3)(x, target), SoftTargetLoss()(x, target))


@quick
@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([2, 50]))
def test_a_batch_is_the_weighted_sum_of_two_cross_entropies(batch: int, smoothing: float, classes: int) -> None:
    x, mix = logits(batch, classes), mixed(smoothing, batch, classes=classes)
    own, partner = (
        F.cross_entropy(x, y, reduction="none", label_smoothing=smoothing) for y in (mix.labels, mix.labels[mix.index])
    )
    loss = SoftTargetLoss(reduction="none")(x, mix)
    assert "targets" not in mix.__dict__  # the dense target was never built
    torch.testing.assert_close(loss, mix.ratio * own + (1 - mix.ratio) * partner)
    torch.testing.assert_close(loss, SoftTargetLoss(reduction="none")(x, mix.targets))


def test_a_batch_brings_its_own_smoothing() -> None:
    assert torch.equal(SoftTargetLoss(0.5)(logits(), mixed(0.1)), SoftTargetLoss()(logits(), mixed(0.1)))


def test_a_batch_with_rows_of_labels_is_taken() -> None:
    mix = mixed(rows=True)
    torch.testing.assert_close(SoftTargetLoss()(logits(), mix), SoftTargetCrossEntropy()(logits(), mix.targets))


@pytest.mark.parametrize("threshold", [None, 0.2])
@pytest.mark.parametrize("sum_classes", [False, True])
def test_the_binary_loss_is_that_of_timm(threshold: float | None, sum_classes: bool) -> None:
    options = {"target_threshold": threshold, "sum_classes": sum_classes}
    ours, theirs = SoftTargetLoss(0.1, bce=True, **options), BinaryCrossEntropy(0.1, **options)
    x, mix = logits(), mixed(0.1)
    for target in (labels(), soft()):
        torch.testing.assert_close(ours(x, target), theirs(x, target))
    torch.testing.assert_close(ours(x, mix), theirs(x, mix.targets))


def test_the_binary_loss_takes_multi_label_batches() -> None:
    mix = mixed(0.1, rows=True, multi_label=True)
    wanted = F.binary_cross_entropy_with_logits(logits(), mix.targets)
    torch.testing.assert_close(SoftTargetLoss(bce=True)(logits(), mix), wanted)


@pytest.mark.parametrize("bce", [False, True])
def test_reductions_are_mean_sum_and_none(bce: bool) -> None:
    each = SoftTargetLoss(bce=bce, reduction="none")(logits(), soft())
    assert each.shape == (5,)
    torch.testing.assert_close(SoftTargetLoss(bce=bce)(logits(), soft()), each.mean())
    torch.testing.assert_close(SoftTargetLoss(bce=bce, reduction="sum")(logits(), soft()), each.sum())


@pytest.mark.parametrize(("dtype", "extreme"), [(torch.float16, 65504.0), (torch.bfloat16, 1e30)])
@pytest.mark.parametrize("bce", [False, True])
def test_extreme_logits_give_a_finite_loss_and_gradient(dtype: torch.dtype, extreme: float, bce: bool) -> None:
    x = torch.full((5, CLASSES), -extreme, dtype=dtype)
    x[:, ::2] = extreme
    x[2] = 0
    for target in (labels(), soft(), mixed(0.1)):
        own = x.clone().requires_grad_()
        loss = SoftTargetLoss(0.1, bce=bce)(own, target)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, own)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        x = logits(dtype=dtype)
        assert torch.equal(SoftTargetLoss()(x, soft()), SoftTargetLoss()(x.float(), soft()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert SoftTargetLoss()(x, soft()).dtype == torch.float32


def test_a_masked_class_stays_masked() -> None:
    x, y = logits(), torch.tensor([0, 1, 2, 3, 0])
    x[:, 5] = -float("inf")
    torch.testing.assert_close(SoftTargetLoss()(x, y), F.cross_entropy(x, y))


@pytest.mark.parametrize("bce", [False, True])
def test_gradients_match_finite_differences(bce: bool) -> None:
    x = logits(3, dtype=torch.float64).requires_grad_()
    for target in (labels(3), soft(3).double(), mixed(0.1, 3), mixed(batch=3, rows=True)):
        loss = SoftTargetLoss(0.1, bce=bce)
        assert loss(x, target).dtype == torch.float64
        assert torch.autograd.gradcheck(lambda own, loss=loss, target=target: loss(own, target), x)


def test_nothing_changes_in_place() -> None:
    x, target = logits(), soft()
    SoftTargetLoss(0.1, bce=True, target_threshold=0.2)(x, target)
    SoftTargetLoss(0.1)(x, target)
    assert torch.equal(x, logits())
    assert torch.equal(target, soft())


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("smoothing", {"smoothing": -0.1}),
        ("smoothing", {"smoothing": 1.1}),
        ("smoothing", {"smoothing": float("nan")}),
        ("reduction", {"reduction": "batch"}),
        ("target_threshold", {"bce": True, "target_threshold": 2}),
        ("bce", {"target_threshold": 0.2}),
        ("bce", {"sum_classes": True}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        SoftTargetLoss(**options)


@pytest.mark.parametrize(
    ("argument", "x", "target"),
    [
        ("logits", [1.0], labels()),
        ("logits", logits()[0], labels()),
        ("logits", labels().view(5, 1), labels()),
        ("logits", torch.zeros(0, 7), torch.zeros(0, 7)),
        ("logits", logits(4), mixed()),
        ("logits", logits(5, 6), mixed()),
        ("logits", logits(5, 6), mixed(rows=True)),
        ("target", logits(), labels(4)),
        ("target", logits(), soft(5, 1)),
        ("target", logits(), [1, 2, 3, 4, 5]),
        ("target", logits(), labels().float()),
        ("target", logits(), labels() > 2),
        ("target", logits(), labels() + 5),
        ("target", logits(), labels() - 5),
    ],
)
@pytest.mark.parametrize("bce", [False, True])
def test_bad_input_is_named(argument: str, x: object, target: object, bce: bool) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        SoftTargetLoss(bce=bce)(x, target)


def test_one_column_is_left_to_binary_cross_entropy() -> None:
    x, target = logits(5, 1), torch.tensor([[0.0], [1.0], [0.3], [1.0], [0.0]])
    with pytest.raises(
        MergeMixError, match=r"^logits: got .*, wanted logits of at least two classes; for a single column use bce"
    ):
        SoftTargetLoss()(x, target)
    wanted = F.binary_cross_entropy_with_logits(x, target)
    torch.testing.assert_close(SoftTargetLoss(bce=True)(x, target), wanted)


def test_a_batch_without_labels_has_no_loss_of_labels() -> None:
    batch = Mixup(0.0, 1.0).mix(noise(4, 3, 8, 8), masks=torch.zeros(4, 8, 8, dtype=torch.long))
    for bce in (False, True):
        with pytest.raises(MergeMixError, match=r"^target: got a batch without labels"):
            SoftTargetLoss(bce=bce)(logits(4), batch)


def test_multi_label_batches_want_binary_cross_entropy() -> None:
    rows = torch.eye(4)[:, [0, 1, 2, 3]]
    batch = Mixup(0.8, num_classes=4, multi_label=True).mix(torch.rand(4, 3, 8, 8), rows)
    with pytest.raises(MergeMixError, match="bce: got False, wanted True"):
        SoftTargetLoss()(torch.randn(4, 4), batch)
    assert SoftTargetLoss(bce=True)(torch.randn(4, 4), batch).isfinite()
