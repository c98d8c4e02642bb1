"""Mixed targets are those of timm."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import mixup_target

from timm_mergemix import MergeMixError
from timm_mergemix.mix.targets import dense_labels, mix_targets, smooth_targets

from .batches import newer_timm, quick


@quick
@given(st.integers(1, 7), st.sampled_from([2, 10, 1000]), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 10**6))
def test_single_label_targets_are_distributions(batch: int, classes: int, smoothing: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (batch,), generator=generator)
    index = torch.randint(batch, (batch,), generator=generator)
    ratio = torch.rand(batch, generator=generator)
    targets = mix_targets(labels, index, ratio, classes, smoothing)
    assert targets.shape == (batch, classes)
    assert targets.dtype == torch.float32
    assert (targets >= 0).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(batch), rtol=0, atol=1e-6)


@newer_timm
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_mixed_targets_are_those_of_timm(smoothing: float, lam: float) -> None:
    labels, index = torch.tensor([0, 3, 2, 6, 3]), torch.arange(4, -1, -1)
    ours = mix_targets(labels, index, torch.full((5,), lam), 7, smoothing)
    torch.testing.assert_close(ours, mixup_target(labels, 7, lam, smoothing))
    rows = (torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) > 0.5).long()
    ours = mix_targets(rows, index, torch.full((5,), lam), 7, smoothing, multi_label=True)
    torch.testing.assert_close(ours, mixup_target(rows, 7, lam, smoothing, multi_label=True))


def test_mixed_targets_are_those_of_timm_with_a_lambda_for_each_row() -> None:
    labels, index = torch.tensor([0, 3, 2, 6]), torch.arange(3, -1, -1)
    lam = torch.tensor([0.1, 0.4, 0.9, 1.0])
    ours = mix_targets(labels, index, lam, 7, 0.1)
    torch.testing.assert_close(ours, mixup_target(labels, 7, lam.unsqueeze(1), 0.1))


def test_targets_permute_with_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, index = torch.randint(5, (6,), generator=generator), torch.randint(6, (6,), generator=generator)
    ratio = torch.rand(6, generator=generator)
    order = torch.randperm(6, generator=generator)
    moved = order.argsort()[index[order]]
    assert torch.equal(mix_targets(labels[order], moved, ratio[order], 5), mix_targets(labels, index, ratio, 5)[order])


def test_dense_labels_are_float32_at_least() -> None:
    assert dense_labels(torch.tensor([1], dtype=torch.uint8), 3).tolist() == [[0, 1, 0]]
    for dtype in (torch.bool, torch.int8, torch.float16, torch.bfloat16, torch.float32):
        assert dense_labels(torch.ones(2, 3, dtype=dtype), None).dtype == torch.float32
    assert dense_labels(torch.ones(2, 3, dtype=torch.float64), None).dtype == torch.float64


def test_smoothing_is_spread_over_classes() -> None:
    rows = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(smooth_targets(rows, 0.2), torch.tensor([[0.85, 0.05, 0.05, 0.05]]))
    torch.testing.assert_close(smooth_targets(rows, 0.2, True), torch.tensor([[0.9, 0.1, 0.1, 0.1]]))
    assert smooth_targets(rows, 0.0) is rows


def test_targets_are_not_smoothed_by_default_and_can_be_smoothed_to_nothing() -> None:
    labels, index, ratio = torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.25, 0.75])
    assert mix_targets(labels, index, ratio, 4).tolist() == [[0.25, 0, 0.75, 0], [0.25, 0, 0.75, 0]]
    assert mix_targets(labels, index, ratio, 4, smoothing=1.0).tolist() == [[0.25] * 4] * 2


@pytest.mark.parametrize("multi_label", [False, True])
def test_one_column_is_smoothed_as_two_classes_are(multi_label: bool) -> None:
    rows = torch.tensor([[1.0], [0.0]])
    torch.testing.assert_close(smooth_targets(rows, 0.1, multi_label), torch.tensor([[0.95], [0.05]]))
    mixed = mix_targets(torch.tensor([[1], [1]]), torch.tensor([1, 0]), torch.full((2,), 0.3), 1, 0.1, multi_label)
    torch.testing.assert_close(mixed, torch.full((2, 1), 0.95))


Y, J, R = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0]), torch.full((3,), 0.5)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("labels", lambda: mix_targets(Y[:2], J, R, 3)),
        ("labels", lambda: mix_targets(Y.float(), J, R, 3)),
        ("labels", lambda: mix_targets(Y, J, R, 2)),
        ("labels", lambda: mix_targets(Y, J, R, 3, multi_label=True)),
        ("num_classes", lambda: mix_targets(Y, J, R)),
        ("index", lambda: mix_targets(Y, J.float(), R, 3)),
        ("ratio", lambda: mix_targets(Y, J, R[:1], 3)),
        ("ratio", lambda: mix_targets(Y, J, R.unsqueeze(1), 3)),
        ("smoothing", lambda: mix_targets(Y, J, R, 3, smoothing=-0.1)),
        ("smoothing", lambda: mix_targets(Y, J, R, 3, smoothing=1.1)),
        ("smoothing", lambda: mix_targets(Y, J, R, 3, smoothing=float("nan"))),
    ],
)
def test_bad_input_is_named(argument: str, call: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()


def test_text_in_place_of_true_is_refused() -> None:
    rows, index, ratio = torch.eye(2), torch.tensor([1, 0]), torch.ones(2)
    with pytest.raises(MergeMixError, match=r"^multi_label: got 'no', wanted True or False"):
        mix_targets(rows, index, ratio, multi_label="no")  # type: ignore[arg-type]
