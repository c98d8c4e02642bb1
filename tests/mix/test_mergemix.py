"""The MergeMix blend on a given saliency shows the patches that the mask keeps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from timm_mergemix import MergeMixError, functional
from timm_mergemix.mix.blends import Pairs
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.draw import Draw
from timm_mergemix.mix.mask import expand_mask
from timm_mergemix.mix.mergemix import MergeMixBlend

from .batches import ChosenDraw, FixedSaliency, distinct, mergemix, noise, quick

RATIO_MODES = MixConfig.options()["ratio_mode"].choices
SELECTIONS = MixConfig.options()["select"].choices

batches = {
    "batch": st.integers(1, 7),
    "channels": st.integers(1, 4),
    "height": st.integers(5, 24),
    "width": st.integers(5, 24),
    "grid": st.tuples(st.integers(1, 5), st.integers(1, 5)),
    "mode": st.sampled_from(["batch", "pair", "elem"]),
    "ratio_mode": st.sampled_from(RATIO_MODES),
    "select": st.sampled_from(SELECTIONS),
    "seed": st.integers(0, 2**31),
    "alpha": st.sampled_from([0.05, 0.5, 1.0, 5.0]),
}


@quick
@given(**batches)
def test_a_mix_is_what_its_mask_and_ratio_say(
    batch: int,
    channels: int,
    height: int,
    width: int,
    grid: tuple[int, int],
    mode: str,
    ratio_mode: str,
    select: str,
    seed: int,
    alpha: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mixer = mergemix(*grid, ratio_mode, alpha, select, mode=mode, num_classes=7, generator=generator)
    images, labels = distinct(batch, channels, height, width), torch.arange(batch)
    mixed = mixer.mix(images, labels)
    assert mixed.index.tolist() == list(range(batch))[::-1]
    # Every pixel is taken whole from one of the two images, as the mask says.
    assert mixed.mask.shape == (batch, 1, height, width)
    assert torch.equal(mixed.images, torch.where(mixed.mask, images, images[mixed.index]))
    assert ((mixed.ratio >= 0) & (mixed.ratio <= 1)).all()
    if ratio_mode == "area":
        torch.testing.assert_close(mixed.ratio, mixed.mask.double().mean((1, 2, 3)).float())
    assert (mixed.targets >= 0).all()
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(batch), rtol=0, atol=1e-6)
    assert mixed.saliency.shape == (batch, *grid)
    assert mixed.raw is images
    assert mixed.kind == ("mergemix",) * batch
    if batch % 2:  # the image in the middle is its own partner
        assert torch.equal(mixed.images[batch // 2], images[batch // 2])


@quick
@given(st.integers(1, 5), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(0, 10**6), st.floats(0, 1))
def test_the_mask_keeps_the_top_patches(batch: int, grid: tuple[int, int], seed: int, lam: float) -> None:
    rows, columns = grid
    images = noise(batch, 3, rows * 4, columns * 4, seed=seed)
    saliency = FixedSaliency(rows, columns)
    lams = np.full(batch, lam)
    mixed = MergeMixBlend(saliency)(Pairs(images, torch.arange(batch).flip(0)), ChosenDraw(lams))
    patches = mixed.mask[:, 0, ::4, ::4]
    assert torch.equal(expand_mask(patches, rows * 4, columns * 4), mixed.mask)
    assert patches.flatten(1).sum(1).tolist() == [int(np.floor(lam * rows * columns + 0.5))] * batch
    for values, kept in zip(saliency(images), patches, strict=True):
        if kept.any() and not kept.all():
            assert values[kept].min() >= values[~kept].max()


@pytest.mark.parametrize("ratio_mode", RATIO_MODES)
@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_lambda_0_and_1_give_whole_images(ratio_mode: str, lam: float) -> None:
    images = noise(5, 3, 18, 13)
    batch = Pairs(images, torch.arange(5).flip(0))
    mixed = MergeMixBlend(FixedSaliency(4, 3), MixConfig(ratio_mode=ratio_mode))(batch, ChosenDraw(np.full(5, lam)))
    assert torch.equal(mixed.images, images if lam else images.flip(0))
    assert mixed.ratio.tolist() == [lam] * 5


@quick
@given(st.integers(1, 6), st.sampled_from(["area", "attention"]), st.integers(0, 10**6))
def test_a_mix_permutes_with_the_batch(batch: int, ratio_mode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, lam = noise(batch, 2, 12, 12, seed=seed), rng.random(batch)
    tie_noise, index = torch.rand(batch, 9), torch.from_numpy(rng.integers(0, batch, batch))
    order = torch.from_numpy(rng.permutation(batch))
    blend = MergeMixBlend(FixedSaliency(3, 3), MixConfig(ratio_mode=ratio_mode))
    plain = blend(Pairs(images, index), ChosenDraw(lam, noise=tie_noise))
    moved_index = order.argsort()[index[order]]
    moved = blend(Pairs(images[order], moved_index), ChosenDraw(lam[order.numpy()], noise=tie_noise[order]))
    assert torch.equal(moved.images, plain.images[order])
    assert torch.equal(moved.mask, plain.mask[order])
    torch.testing.assert_close(moved.ratio, plain.ratio[order])


@quick
@given(st.sampled_from([(1, 3), (2, 2), (2, 3)]), st.integers(0, 10**6), st.floats(0, 1))
def test_both_shows_the_most_of_both(grid: tuple[int, int], seed: int, lam: float) -> None:
    images, index = noise(3, 3, 12, 12, seed=seed), torch.tensor([1, 2, 0])
    saliency = FixedSaliency(*grid)
    mixed = MergeMixBlend(saliency, MixConfig(select="both"))(Pairs(images, index), ChosenDraw(np.full(3, lam)))
    maps = saliency(images).flatten(1)
    patches = mixed.mask[:, 0, :: 12 // grid[0], :: 12 // grid[1]].flatten(1)
    for own, partner, kept in zip(maps, maps[index], patches, strict=True):
        masks = [torch.tensor(mask) for mask in product([False, True], repeat=len(own)) if sum(mask) == kept.sum()]
        most = max((own * mask + partner * ~mask).sum() for mask in masks)
        torch.testing.assert_close((own * kept + partner * ~kept).sum(), most)


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("ratio_mode", RATIO_MODES)
def test_a_mix_is_the_pure_functions_put_together(ratio_mode: str, select: str) -> None:
    batch, lam = Pairs(noise(4, 3, 15, 11), torch.tensor([2, 0, 3, 1])), np.array([0.2, 0.5, 0.8, 0.4])
    saliency, ties = FixedSaliency(3, 3), torch.rand(4, 9)
    mixed = MergeMixBlend(saliency, MixConfig(ratio_mode=ratio_mode, select=select))(batch, ChosenDraw(lam, noise=ties))
    maps = saliency(batch.images)
    count = functional.count_patches(torch.from_numpy(lam), 9)
    patches = functional.top_mask(maps - maps[batch.index] if select == "both" else maps, count, ties)
    mask = functional.expand_mask(patches, 15, 11)
    ratio = {
        "area": lambda: functional.area_ratio(mask),
        "attention": lambda: functional.attention_ratio(maps, maps[batch.index], patches),
        "gaussian": lambda: functional.gaussian_ratio(count / 9, torch.from_numpy(ChosenDraw(lam).normal()).float()),
    }[ratio_mode]()
    assert torch.equal(mixed.mask, mask)
    assert torch.equal(mixed.images, functional.mix_images(batch.images, batch.images[batch.index], mask))
    assert torch.equal(mixed.ratio, ratio)
    assert torch.equal(mixed.saliency, maps)


def test_only_the_rows_to_mix_are_looked_at() -> None:
    saliency = FixedSaliency(3, 3)
    some = Pairs(noise(6, 3, 12, 12), torch.arange(6).flip(0), torch.tensor([0, 4]))
    MergeMixBlend(saliency)(some, ChosenDraw(np.full(2, 0.5)))
    assert saliency.seen == [2]


def test_attention_ratio_of_some_rows_weighs_their_partners() -> None:
    saliency, images = FixedSaliency(3, 3), noise(6, 3, 12, 12)
    rows, lam = torch.tensor([0, 4]), np.array([0.3, 0.6])
    mixed = MergeMixBlend(saliency, MixConfig(ratio_mode="attention"))(
        Pairs(images, torch.arange(6).flip(0), rows), ChosenDraw(lam)
    )
    maps, patches = saliency(images), mixed.mask[:, 0, ::4, ::4]
    assert torch.equal(mixed.ratio, functional.attention_ratio(maps[[0, 4]], maps[[5, 1]], patches))


def test_constant_saliency_leans_to_no_corner() -> None:
    blend = MergeMixBlend(lambda images: torch.full((len(images), 4, 4), 1 / 16))
    many = Pairs(torch.zeros(1, 1, 4, 4).expand(4000, -1, -1, -1), torch.arange(4000))
    mask = blend(many, Draw(np.random.default_rng(0), np.arange(4000))).mask
    kept = mask.float().mean((0, 1))
    assert (kept - kept.mean()).abs().max() < 0.04  # a standard deviation is 0.008


@pytest.mark.parametrize("alpha", [0.4, 2.0])
def test_lambda_has_the_beta_distribution(alpha: float) -> None:
    blend = MergeMixBlend(lambda images: torch.rand(len(images), 32, 32), MixConfig(mergemix_alpha=alpha))
    many = Pairs(torch.zeros(1, 1, 32, 32).expand(1500, -1, -1, -1), torch.arange(1500))
    ratio = blend(many, Draw(np.random.default_rng(0), np.arange(1500))).ratio
    # A ratio is a multiple of 1 / 1024; spread over its cell it is continuous again.
    spread = ratio.numpy() + np.random.default_rng(1).uniform(-0.5, 0.5, 1500) / 1024
    assert stats.kstest(spread.clip(0, 1), stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_gaussian_of_a_single_image_is_the_area() -> None:
    mixer = mergemix(ratio_mode="gaussian")
    for seed in range(5):
        torch.manual_seed(seed)
        batch = mixer.mix(noise(1, 3, 16, 16), torch.tensor([1]))
        assert torch.equal(batch.ratio, functional.area_ratio(batch.mask))


def test_gaussian_is_noise_over_a_batch_that_shares_lambda() -> None:
    torch.manual_seed(1)
    batch = mergemix(ratio_mode="gaussian").mix(noise(8, 3, 16, 16), torch.arange(8))
    assert batch.ratio.min() == 0
    assert batch.ratio.max() == 1
    assert len(functional.area_ratio(batch.mask).unique()) == 1
    assert len(batch.ratio.unique()) == 8


def test_bad_arguments_are_named() -> None:
    for alpha in (-1, float("nan"), "1"):
        with pytest.raises(MergeMixError, match=r"^mergemix_alpha: got"):
            MixConfig(mergemix_alpha=alpha)
    for mode in ("Area", "mean", None):
        with pytest.raises(MergeMixError, match=r"^ratio_mode: got.*'area', 'attention', 'gaussian'"):
            MixConfig(ratio_mode=mode)


@pytest.mark.parametrize("ratio_mode", RATIO_MODES)
@pytest.mark.parametrize("prob", [1.0, 0.5])
def test_a_given_saliency_stands_in_for_the_pass(ratio_mode: str, prob: float) -> None:
    images, labels = noise(6, 3, 16, 16), torch.arange(6)
    batches = []
    for saliency in (None, FixedSaliency(4, 4)(images)):
        mixer = mergemix(
            4, 4, ratio_mode, num_classes=7, prob=prob, mode="elem", generator=torch.Generator().manual_seed(1)
        )
        batches.append(mixer.mix(images, labels, saliency))
    own, given = batches
    assert torch.equal(own.images, given.images)
    assert torch.equal(own.ratio, given.ratio)
    other = mergemix(4, 4, ratio_mode, num_classes=7, mode="elem", generator=torch.Generator().manual_seed(1))
    assert not torch.equal(other.mix(images, labels, noise(6, 4, 4).abs()).images, own.images)


def test_a_given_saliency_is_checked() -> None:
    with pytest.raises(MergeMixError, match=r"^saliency: got a float32 tensor of shape \(5, 4, 4\)"):
        mergemix(num_classes=7).mix(noise(6, 3, 16, 16), torch.arange(6), noise(5, 4, 4))
