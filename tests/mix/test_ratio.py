"""Each ratio weighs the original image by what is seen of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.mix.mask import expand_mask
from timm_mergemix.mix.ratio import area_ratio, attention_ratio, gaussian_ratio, patch_ratio

from .batches import quick

sizes = st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12))


@quick
@given(sizes, st.integers(0, 10**6), st.floats(0, 1))
def test_area_is_the_share_of_pixels(size: tuple[int, int, int], seed: int, share: float) -> None:
    mask = torch.rand(size, generator=torch.Generator().manual_seed(seed)).unsqueeze(1) < share
    ratio = area_ratio(mask)
    assert ratio.dtype == torch.float32
    for row in range(len(mask)):
        assert ratio[row].item() == pytest.approx(mask[row].sum().item() / mask[row].numel(), abs=1e-7)


def test_area_of_a_large_mask_is_exact() -> None:
    mask = torch.zeros(1, 1, 4096, 4100, dtype=torch.bool)
    mask[..., :1] = True
    assert area_ratio(mask).item() == pytest.approx(1 / 4100, rel=1e-6)


@quick
@given(sizes, st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_the_area_of_patches_is_that_of_their_pixels(
    size: tuple[int, int, int], height: int, width: int, seed: int
) -> None:
    patches = torch.rand(size, generator=torch.Generator().manual_seed(seed)) < 0.5
    assert torch.equal(patch_ratio(patches, height, width), area_ratio(expand_mask(patches, height, width)))


@quick
@given(sizes, st.integers(0, 10**6))
def test_attention_is_the_share_of_kept_saliency(size: tuple[int, int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    own, partner = torch.rand(2, *size, generator=generator).softmax(-1)
    mask = torch.rand(size, generator=generator) > 0.4
    ratio = attention_ratio(own, partner, mask)
    assert ((ratio >= 0) & (ratio <= 1)).all()
    for row in range(size[0]):
        kept, rest = own[row][mask[row]].sum().item(), partner[row][~mask[row]].sum().item()
        assert ratio[row].item() == pytest.approx(kept / (kept + rest), rel=1e-5)


@quick
@given(sizes, st.integers(0, 10**6))
def test_whole_images_have_ratios_0_and_1_in_each_way(size: tuple[int, int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    own, partner = torch.rand(2, *size, generator=generator) * 1e-40  # subnormal sums too
    normal = torch.randn(size[0], generator=generator)
    for whole in (True, False):
        mask = torch.full(size, whole)
        wanted = torch.full(size[:1], float(whole))
        assert torch.equal(area_ratio(mask.unsqueeze(1)), wanted)
        assert torch.equal(attention_ratio(own, partner, mask), wanted)
        assert torch.equal(gaussian_ratio(wanted, normal), wanted)


def test_attention_without_any_saliency_is_the_share_of_patches() -> None:
    nothing = torch.zeros(1, 2, 2)
    assert attention_ratio(nothing, nothing, torch.tensor([[[True, False], [False, False]]])).tolist() == [0.25]


def test_gaussian_normalises_over_the_batch() -> None:
    area, normal = torch.tensor([0.5, 0.5, 0.5, 0.25]), torch.tensor([1.0, -1.0, 0.0, 2.0])
    assert gaussian_ratio(area, normal).tolist() == [1.0, 0.0, 0.5, 1.0]


def test_gaussian_with_nothing_to_normalise_by_is_the_area() -> None:
    assert gaussian_ratio(torch.tensor([0.25]), torch.tensor([1.3])).tolist() == [0.25]
    assert gaussian_ratio(torch.tensor([0.25, 0.25]), torch.tensor([1.0, 1.0])).tolist() == [0.25, 0.25]


def test_gaussian_forces_whole_images() -> None:
    ratio = gaussian_ratio(torch.tensor([0.0, 1.0, 0.5, 0.5]), torch.tensor([3.0, -3.0, 1.0, 0.0]))
    assert ratio[:2].tolist() == [0.0, 1.0]


@quick
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(-9, 9, width=32)), min_size=1, max_size=9))
def test_gaussian_is_in_range(rows: list[tuple[float, float]]) -> None:
    area, normal = torch.tensor(rows).T
    ratio = gaussian_ratio(area, normal)
    assert ((ratio >= 0) & (ratio <= 1)).all()


S, M = torch.rand(2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("mask", lambda: area_ratio(M)),
        ("mask", lambda: area_ratio(S.unsqueeze(1))),
        ("saliency", lambda: attention_ratio(S[0], S[0], M[0])),
        ("partner_saliency", lambda: attention_ratio(S, S[:1], M)),
        ("mask", lambda: attention_ratio(S, S, M[:1])),
        ("area", lambda: gaussian_ratio(S, S)),
        ("normal", lambda: gaussian_ratio(torch.rand(2), torch.rand(3))),
    ],
)
def test_bad_input_is_named(argument: str, call: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()
