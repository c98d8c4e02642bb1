"""Images, labels and maps of a batch are checked before anything is drawn from them."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from timm_mergemix import MergeMixError
from timm_mergemix.checks import (
    check_classes,
    check_finite,
    check_images,
    check_labels,
    check_range,
    check_rows,
    check_saliency,
    check_share,
    check_weights,
    read_statistics,
    reads_values,
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
def test_images_of_every_dtype_are_taken(dtype: torch.dtype) -> None:
    check_images(torch.ones(1, 1, 1, 1, dtype=dtype))


def test_images_with_more_than_four_colours_are_not_taken_for_channels_last() -> None:
    check_images(torch.rand(1, 6, 6, 5))
    with pytest.raises(MergeMixError, match=r"images\.permute"):
        check_images(torch.rand(1, 6, 6, 4))


def test_large_finite_pixels_are_finite() -> None:
    check_images(torch.full((2, 3, 8, 8), 3e38))
    check_images(torch.full((1, 1, 2, 2), 1e300, dtype=torch.float64))


@pytest.mark.parametrize(
    "images",
    [
        None,
        [[1.0]],
        torch.rand(3, 4, 4),
        torch.rand(1, 2, 3, 4, 4),
        torch.rand(0, 3, 4, 4),
        torch.rand(2, 3, 0, 4),
        torch.ones(2, 3, 4, 4, dtype=torch.int64),
        torch.ones(2, 3, 4, 4, dtype=torch.bool),
        torch.ones(2, 3, 4, 4, dtype=torch.complex64),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: object) -> None:
    with pytest.raises(MergeMixError, match=r"^images: got"):
        check_images(images)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_pixel_that_is_not_finite_is_found(value: float, dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 4, 4).to(dtype)
    images[1, 2, 3, 0] = value
    with pytest.raises(MergeMixError, match=r"^images: got pixels that are NaN or infinite"):
        check_images(images)


def test_infinities_that_cancel_are_found() -> None:
    images = torch.zeros(1, 1, 2, 2)
    images[0, 0, 0] = torch.tensor([float("inf"), -float("inf")])
    with pytest.raises(MergeMixError, match=r"^images"):
        check_images(images)


class Elsewhere(torch.Tensor):
    """A tensor that says it is on an accelerator."""

    device = torch.device("cuda")


def test_values_off_the_cpu_are_read_on_request_only() -> None:
    images = torch.full((2, 3, 4, 4), float("nan")).as_subclass(Elsewhere)
    labels = torch.tensor([0, 5]).as_subclass(Elsewhere)
    for validate in (None, False):
        check_images(images, validate)
        check_labels(labels, 2, 5, False, validate)
    with pytest.raises(MergeMixError, match=r"^images: got pixels that are NaN"):
        check_images(images, validate=True)
    with pytest.raises(MergeMixError, match=r"^labels: got labels from 0 to 5"):
        check_labels(labels, 2, 5, False, validate=True)


@pytest.mark.parametrize("validate", [None, True])
def test_values_that_there_are_none_of_are_not_read(validate: bool | None) -> None:
    check_images(torch.empty(2, 3, 4, 4, device="meta"), validate)
    check_labels(torch.zeros(2, dtype=torch.long, device="meta"), 2, 5, False, validate)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_labels_of_every_integer_dtype_are_taken(dtype: torch.dtype) -> None:
    check_labels(torch.tensor([0, 4], dtype=dtype), 2, 5, False)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
@pytest.mark.parametrize("multi_label", [False, True])
def test_rows_of_labels_are_taken(dtype: torch.dtype, multi_label: bool) -> None:
    check_labels(torch.ones(2, 5, dtype=dtype), 2, 5, multi_label)
    check_labels(torch.ones(2, 5, dtype=dtype), 2, None, multi_label)


@pytest.mark.parametrize(
    ("labels", "multi_label", "wanted"),
    [
        ([0, 1], False, r"shape \(2,\) or \(2, 5\)"),
        (torch.tensor(0), False, "tensor of shape"),
        (torch.zeros(2, 5, 1), False, "tensor of shape"),
        (torch.tensor([0, 1, 2]), False, "each of the 2 images"),
        (torch.zeros(3, 5), False, "each of the 2 images"),
        (torch.zeros(2, 4), False, "rows of 5 classes"),
        (torch.tensor([0, 1]), True, "because multi_label is True"),
        (torch.tensor([0.0, 1.0]), False, "integer class labels"),
        (torch.tensor([True, False]), False, "integer class labels"),
        (torch.zeros(2, 5, dtype=torch.complex64), False, "rows of at least one class, real"),
        (torch.tensor([0, 5]), False, "from 0 to 4"),
        (torch.tensor([-1, 2]), False, "from 0 to 4"),
        (torch.tensor([[0.0] * 4 + [float("nan")]] * 2), False, "from nan to nan, wanted numbers from 0 to 1"),
        (torch.tensor([[0.0] * 4 + [float("inf")]] * 2), True, "from 0 to inf, wanted numbers from 0 to 1"),
    ],
)
def test_what_are_no_labels_is_refused(labels: object, multi_label: bool, wanted: str) -> None:
    with pytest.raises(MergeMixError, match=rf"^labels: got.*{wanted}"):
        check_labels(labels, 2, 5, multi_label)


def test_rows_without_classes_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^labels: got"):
        check_labels(torch.zeros(2, 0), 2, None, False)


def test_integers_need_num_classes() -> None:
    with pytest.raises(MergeMixError, match=r"^num_classes: got None"):
        check_labels(torch.tensor([0, 1]), 2, None, False)


def test_a_range_names_its_argument() -> None:
    check_classes("target", torch.tensor([0, 2]), 3)
    with pytest.raises(MergeMixError, match=r"^target: got labels from 0 to 3, wanted labels from 0 to 2"):
        check_classes("target", torch.tensor([0, 3]), 3)


@pytest.mark.parametrize("value", [-1e-6, float("nan"), float("inf")])
def test_saliency_is_finite_and_not_negative(value: float) -> None:
    saliency = torch.rand(2, 3, 3)
    check_saliency(saliency, 2)
    check_saliency(saliency.half(), 2)
    saliency[1, 2, 0] = value
    with pytest.raises(MergeMixError, match=r"^saliency: got numbers that are negative, NaN or infinite"):
        check_saliency(saliency, 2)
    with pytest.raises(MergeMixError, match=r"^saliency: got"):
        check_saliency(saliency, 3)
    with pytest.raises(MergeMixError, match=r"^saliency: got"):
        check_saliency(torch.zeros(2, 0, 3), 2)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_shares_are_from_0_to_1(value: float) -> None:
    check_share("ratio", torch.tensor([0.0, 1.0, 0.5]))
    check_share("ratio", torch.empty(0))
    with pytest.raises(MergeMixError, match=r"^ratio: got numbers from .*, wanted numbers from 0 to 1"):
        check_share("ratio", torch.tensor([0.5, value]))


@pytest.mark.parametrize("value", [-1e-3, float("nan"), float("inf"), torch.finfo(torch.float32).max])
def test_weights_and_their_sum_are_finite_and_not_negative(value: float) -> None:
    check_weights("w", torch.zeros(2, 3))
    with pytest.raises(
        MergeMixError, match=r"^w: got numbers that are negative, NaN or infinite, wanted finite numbers"
    ):
        check_weights("w", torch.full((2, 3), value))


def test_finite_numbers_may_be_negative() -> None:
    check_finite("n", -torch.ones(3))
    for value in (float("nan"), float("inf")):
        with pytest.raises(MergeMixError, match=r"^n: got numbers that are NaN or infinite, wanted finite numbers"):
            check_finite("n", torch.tensor([0.0, value]))


def test_a_row_of_one_column_may_be_0() -> None:
    check_rows("rows", torch.tensor([[0], [1]]), multi_label=False)
    check_rows("rows", torch.zeros(2, 3), multi_label=True)
    with pytest.raises(MergeMixError, match=r"^rows: got a row of zeros, wanted at least one class per row"):
        check_rows("rows", torch.zeros(2, 3), multi_label=False)


def test_integers_without_values_have_no_range() -> None:
    check_range("n", torch.zeros(0, dtype=torch.int64), 5, 6)
    check_range("n", torch.zeros(3, dtype=torch.int64, device="meta"), 5, 6)
    with pytest.raises(MergeMixError, match=r"^n: got numbers from 0 to 0, wanted numbers from 5 to 6"):
        check_range("n", torch.zeros(3, dtype=torch.int64), 5, 6)


def test_there_are_no_values_in_fake_and_in_batched_tensors() -> None:
    seen = []
    torch.func.vmap(lambda row: seen.append(reads_values(row)) or row)(torch.zeros(2, 3))
    with FakeTensorMode():
        seen.append(reads_values(torch.zeros(2)))
    assert seen == [False, False] and reads_values(torch.zeros(2))


def test_statistics_are_a_mean_and_a_deviation_that_are_finite() -> None:
    mean, std = read_statistics("statistics", [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [3], "three numbers")
    assert mean.tolist() == pytest.approx([0.1, 0.2, 0.3]) and std.tolist() == pytest.approx([0.4, 0.5, 0.6])
    with pytest.raises(MergeMixError, match=r"^statistics: .*, wanted three numbers"):
        read_statistics("statistics", [0.1, float("nan"), 0.3], [0.4, 0.5, 0.6], [3], "three numbers")


@pytest.mark.parametrize("std", [[0.4, 0.0], [0.4, 0.5, 0.6], [-1.0]])
def test_a_deviation_is_positive_and_has_a_number_for_each_channel_or_for_all(std: list[float]) -> None:
    mean, deviation = read_statistics("statistics", [0.1], [0.4], [2], "two numbers")
    assert len(mean) == len(deviation) == 1
    with pytest.raises(MergeMixError, match=r"^statistics: .*, wanted two numbers"):
        read_statistics("statistics", [0.1], std, [2], "two numbers")
