"""Mixup and CutMix mix as timm does for the same numbers, and ResizeMix pastes the whole partner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm.data.mixup as timm_mixup
import torch
from scipy import stats

from timm_mergemix import MergeMixError
from timm_mergemix.mix.blends import Blend, CutMixBlend, MixupBlend, Pairs, ResizeMixBlend
from timm_mergemix.mix.draw import Draw, group_rows

from .batches import ChosenDraw, newer_timm, noise

MODES = ("batch", "pair", "elem")
COUNT = 3000


def pairs(batch: int = 6, height: int = 12, width: int = 9, dtype: torch.dtype = torch.float32) -> Pairs:
    return Pairs(noise(batch, 3, height, width, dtype=dtype), torch.arange(batch - 1, -1, -1))


def many(height: int = 40, width: int = 56, count: int = COUNT) -> Pairs:
    """A batch of many small images that cost no memory; one channel."""
    return Pairs(torch.zeros(1, 1, height, width).expand(count, -1, -1, -1), torch.arange(count))


def draws(seed: int = 0, count: int = COUNT) -> Draw:
    return Draw(np.random.default_rng(seed), np.arange(count))


def box_of(mask: torch.Tensor) -> np.ndarray:
    """Top, bottom, left, right of the box in each mask (n, 1, H, W)."""
    rows, columns = (~mask[:, 0]).any(2).int(), (~mask[:, 0]).any(1).int()
    limits = [rows.argmax(1), rows.argmax(1) + rows.sum(1), columns.argmax(1), columns.argmax(1) + columns.sum(1)]
    return torch.stack(limits, 1).numpy()


def alike(ours: np.ndarray, timms: np.ndarray) -> None:
    """The two samples are of one distribution, as far as a few thousand numbers tell."""
    assert stats.ks_2samp(ours, timms).pvalue > 1e-4


def test_pairs_of_some_rows_are_mixed_with_their_partners() -> None:
    images, index = noise(4, 1, 2, 2), torch.tensor([3, 2, 1, 0])
    some = Pairs(images, index, torch.tensor([0, 2]))
    assert torch.equal(some.own, images[[0, 2]])
    assert torch.equal(some.partner, images[[3, 1]])
    assert some.partner_index.tolist() == [3, 1]
    everything = Pairs(images, index)
    assert everything.own is images
    assert torch.equal(everything.partner, images.flip(0))
    assert everything.partner.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixup_equals_timm_for_the_same_lambda(mode: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pairs(dtype=dtype)
    groups = group_rows(mode, 6)
    lam = np.array([0.25, 0.7, 0.9, 0.1, 0.5, 0.6], dtype=np.float32)[: groups.max() + 1]
    ours = MixupBlend()(batch, ChosenDraw(lam.astype(np.float64)[groups]))
    theirs, target = run_timm(mode, batch.images, lam, False, [], monkeypatch)
    torch.testing.assert_close(ours.images, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.ratio, target)
    assert ours.mask is None


@newer_timm
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("correct_lam", [True, False])
def test_cutmix_equals_timm_for_the_same_box(mode: str, correct_lam: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pairs()
    groups = group_rows(mode, 6)
    count = groups.max() + 1
    lam = np.array([0.25, 0.7, 0.9, 0.1, 0.5, 0.6], dtype=np.float32)[:count]
    rows, columns = np.array([0, 11, 5, 3, 8, 2])[:count], np.array([8, 0, 4, 5, 1, 7])[:count]
    draw = ChosenDraw(lam.astype(np.float64)[groups], [rows[groups], columns[groups]])
    ours = CutMixBlend(correct_lam=correct_lam)(batch, draw)
    centers = [int(n) for pair in zip(rows, columns, strict=True) for n in pair]
    theirs, target = run_timm(mode, batch.images, lam, True, centers, monkeypatch, correct_lam=correct_lam)
    assert torch.equal(ours.images, theirs)
    torch.testing.assert_close(ours.ratio, target)


@pytest.mark.parametrize("mode", MODES)
def test_cutmix_minmax_equals_timm_for_the_same_box(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pairs()
    groups = group_rows(mode, 6)
    count = groups.max() + 1
    lam = np.full(count, 0.5, dtype=np.float32)
    heights, tops = np.array([3, 7, 4, 9, 5, 6])[:count], np.array([0, 5, 8, 3, 2, 1])[:count]
    widths, lefts = np.array([2, 6, 5, 4, 3, 2])[:count], np.array([7, 0, 4, 2, 6, 1])[:count]
    draw = ChosenDraw(lam.astype(np.float64)[groups], [n[groups] for n in (heights, tops, widths, lefts)])
    ours = CutMixBlend(minmax=(0.2, 0.8))(batch, draw)
    numbers = [int(n) for box in zip(heights, widths, tops, lefts, strict=True) for n in box]  # timm's order
    theirs, target = run_timm(mode, batch.images, lam, True, numbers, monkeypatch, cutmix_minmax=(0.2, 0.8))
    assert torch.equal(ours.images, theirs)
    torch.testing.assert_close(ours.ratio, target)


def run_timm(
    mode: str,
    images: torch.Tensor,
    lam: np.ndarray,
    cutmix: bool,
    integers: list[int],
    monkeypatch: pytest.MonkeyPatch,
    **options: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """timm's Mixup with chosen numbers: its images, and lambda as its targets have it."""
    mixup = timm_mixup.Mixup(mode=mode, label_smoothing=0.0, num_classes=len(images), **options)
    monkeypatch.setattr(mixup, "_params_per_batch", lambda: (float(lam[0]), cutmix))
    monkeypatch.setattr(mixup, "_params_per_elem", lambda n: (lam[:n].copy(), np.full(n, cutmix)))
    numbers = iter(integers)
    monkeypatch.setattr(np.random, "randint", lambda low, high=None, size=None: next(numbers))
    mixed, target = mixup(images.clone(), torch.arange(len(images)))
    return mixed, target.diagonal().float()


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_lambda_of_mixup_is_beta(alpha: float) -> None:
    ratio = MixupBlend(alpha)(many(1, 1), draws()).ratio
    assert stats.kstest(ratio.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_boxes_of_cutmix_are_as_timms() -> None:
    rng = np.random.RandomState(0)
    ours = CutMixBlend(0.8)(many(), draws())
    boxes = box_of(ours.mask)
    np.random.seed(1)
    theirs = np.array([timm_mixup.rand_bbox((1, 40, 56), rng.beta(0.8, 0.8)) for _ in range(COUNT)])
    area = (theirs[:, 1] - theirs[:, 0]) * (theirs[:, 3] - theirs[:, 2])
    alike(ours.ratio.numpy(), 1 - area / (40 * 56))
    seen, there = area > 0, (~ours.mask).flatten(1).any(1).numpy()
    assert abs(seen.mean() - there.mean()) < 0.04
    for side in range(4):
        alike(boxes[there, side], theirs[seen, side])


def test_boxes_of_cutmix_minmax_are_as_timms() -> None:
    ours = CutMixBlend(minmax=(0.2, 0.8))(many(), draws())
    boxes = box_of(ours.mask)
    np.random.seed(1)
    theirs = np.array([timm_mixup.rand_bbox_minmax((1, 40, 56), (0.2, 0.8)) for _ in range(COUNT)])
    for side in range(4):
        alike(boxes[:, side], theirs[:, side])
    alike(boxes[:, 1] - boxes[:, 0], theirs[:, 1] - theirs[:, 0])
    alike(boxes[:, 3] - boxes[:, 2], theirs[:, 3] - theirs[:, 2])


def test_cutmix_minmax_takes_equal_limits() -> None:
    half = CutMixBlend(minmax=(0.5, 0.5))(pairs(height=8, width=8), draws(count=6))
    assert half.ratio.tolist() == [0.75] * 6
    whole = CutMixBlend(minmax=(1.0, 1.0))(pairs(), draws(count=6))
    assert whole.ratio.tolist() == [0.0] * 6


@pytest.mark.parametrize("lam", [0.0, 1.0])
@pytest.mark.parametrize("blend", [MixupBlend(), CutMixBlend(correct_lam=False)])
def test_lambda_0_and_1_give_whole_images(blend: Callable[..., Blend], lam: float) -> None:
    batch = pairs(height=8, width=8)
    center = np.full(6, 4)
    mixed = blend(batch, ChosenDraw(np.full(6, lam), [center, center]))
    assert torch.equal(mixed.images, batch.images if lam else batch.partner)
    assert mixed.ratio.tolist() == [lam] * 6


def test_uncorrected_lambda_is_the_drawn_one() -> None:
    lam = np.linspace(0.1, 0.9, 6)
    corner = np.zeros(6, dtype=np.int64)
    mixed = CutMixBlend(correct_lam=False)(pairs(), ChosenDraw(lam, [corner, corner]))
    torch.testing.assert_close(mixed.ratio, torch.tensor(lam).float())


def test_resizemix_pastes_a_box_of_the_drawn_side() -> None:
    mixed = ResizeMixBlend((0.25, 0.75))(many(count=800), draws(count=800))
    boxes = box_of(mixed.mask)
    heights, widths = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert heights.min() == 10
    assert heights.max() == 30
    assert abs(heights.mean() - 20) < 0.5
    assert (np.abs(widths - heights * 56 / 40) <= 1.3).all()
    torch.testing.assert_close(mixed.ratio, 1 - torch.from_numpy(heights * widths).float() / (40 * 56))


def test_resizemix_shows_the_partner_in_the_box_and_the_image_around_it() -> None:
    batch = Pairs(torch.tensor([10.0, 20.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8), torch.tensor([1, 0]))
    mixed = ResizeMixBlend()(batch, draws(count=2))
    torch.testing.assert_close(mixed.images, torch.where(mixed.mask, batch.own, batch.partner))


def test_images_of_one_pixel_are_mixed() -> None:
    batch = Pairs(noise(3, 1, 1, 1), torch.tensor([2, 1, 0]))
    for blend in (MixupBlend(), CutMixBlend(), CutMixBlend(minmax=(0.2, 0.8)), ResizeMixBlend((0.0, 0.1))):
        mixed = blend(batch, draws(count=3))
        assert ((mixed.ratio >= 0) & (mixed.ratio <= 1)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
@pytest.mark.parametrize("blend", [MixupBlend(), CutMixBlend(), ResizeMixBlend()])
def test_images_keep_their_dtype(blend: Callable[..., Blend], dtype: torch.dtype) -> None:
    assert blend(pairs(dtype=dtype), draws(count=6)).images.dtype == dtype


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_bad_alpha_is_named(value: object) -> None:
    with pytest.raises(MergeMixError, match=r"^mixup_alpha: got"):
        MixupBlend(value)
    with pytest.raises(MergeMixError, match=r"^cutmix_alpha: got"):
        CutMixBlend(value)


@pytest.mark.parametrize("value", [0.5, (0.5,), (0.8, 0.2), (-0.1, 0.5), (0.2, 1.1), ("a", 1), (0.1, 0.2, 0.3)])
def test_bad_range_is_named(value: object) -> None:
    with pytest.raises(MergeMixError, match=r"^cutmix_minmax(\[.\])?: got"):
        CutMixBlend(minmax=value)
    with pytest.raises(MergeMixError, match=r"^scale(\[.\])?: got"):
        ResizeMixBlend(value)
