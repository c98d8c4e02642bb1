"""Mixed pixels are taken from one image or the other, or are their weighted sum."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.mix.images import blend_images, mix_images, mix_patches, paste_resized
from timm_mergemix.mix.mask import expand_mask

from .batches import noise, quick

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8]
shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


@quick
@given(shapes, st.sampled_from(DTYPES), st.integers(0, 10**6))
def test_each_pixel_is_taken_whole(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> None:
    own, partner = noise(*shape, seed=seed, dtype=dtype), noise(*shape, seed=seed + 1, dtype=dtype)
    mask = noise(shape[0], 1, *shape[2:], seed=seed + 2) > 0
    mixed = mix_images(own, partner, mask)
    assert mixed.dtype == dtype
    everywhere = mask.expand(shape)
    assert torch.equal(mixed[everywhere], own[everywhere])
    assert torch.equal(mixed[~everywhere], partner[~everywhere])


@quick
@given(
    shapes,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
    st.sampled_from(DTYPES),
    st.integers(0, 10**6),
)
def test_patches_are_mixed_as_by_their_mask(
    shape: tuple[int, ...],
    grid: tuple[int, int],
    divides: bool,
    layout: torch.memory_format,
    dtype: torch.dtype,
    seed: int,
) -> None:
    height, width = (shape[2] * grid[0], shape[3] * grid[1]) if divides else shape[2:]
    images = noise(shape[0], shape[1], height, width, seed=seed, dtype=dtype).contiguous(memory_format=layout)
    generator = torch.Generator().manual_seed(seed)
    own, partner = torch.randint(shape[0], (2, 3), generator=generator)
    patches = torch.rand(3, *grid, generator=generator) > 0.5
    before = images.clone()
    mixed = mix_patches(images, own, partner, patches)
    assert torch.equal(mixed, mix_images(images[own], images[partner], expand_mask(patches, height, width)))
    assert torch.equal(images, before)


def test_gradients_flow_to_the_patches_that_were_taken() -> None:
    images = noise(2, 1, 4, 4).requires_grad_()
    patches = torch.tensor([[[True, False], [False, False]], [[True, True], [True, True]]])
    mixed = mix_patches(images, torch.tensor([0, 1]), torch.tensor([1, 0]), patches)
    (gradient,) = torch.autograd.grad(mixed.sum(), images)
    assert torch.equal(gradient[0], expand_mask(patches, 4, 4)[0].float())
    assert torch.equal(gradient[1], 2 - gradient[0])


def test_the_default_device_has_no_say() -> None:
    images, patches = torch.randn(2, 3, 8, 8), torch.tensor([[[True, False]] * 2] * 2)
    wanted = mix_patches(images, torch.tensor([0, 1]), torch.tensor([1, 0]), patches)
    own, partner = torch.tensor([0, 1]), torch.tensor([1, 0])
    with torch.device("meta"):
        assert torch.equal(mix_patches(images, own, partner, patches), wanted)


def test_patches_that_do_not_fit_are_refused() -> None:
    images, rows = noise(2, 1, 4, 4), torch.tensor([0, 1])
    patches = torch.ones(2, 2, 2, dtype=torch.bool)
    with pytest.raises(MergeMixError, match="partner"):
        mix_patches(images, rows, rows[:1], patches)
    with pytest.raises(MergeMixError, match="patches"):
        mix_patches(images, rows, rows, patches.float())


@pytest.mark.parametrize("dtype", DTYPES)
def test_mixup_is_the_weighted_sum(dtype: torch.dtype) -> None:
    own, partner = noise(3, 2, 4, 5, dtype=dtype), noise(3, 2, 4, 5, seed=1, dtype=dtype)
    ratio = torch.tensor([0.0, 0.3, 1.0])
    weight = ratio.double().view(-1, 1, 1, 1)
    exact = weight * own.double() + (1 - weight) * partner.double()
    mixed = blend_images(own, partner, ratio)
    assert mixed.dtype == dtype
    if dtype == torch.uint8:
        # float32 may fall on the other side of a half
        assert (mixed.double() - exact).abs().max() <= 0.5 + 1e-4
    else:
        torch.testing.assert_close(mixed.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=1e-6)
    assert torch.equal(mixed[0], partner[0])
    assert torch.equal(mixed[2], own[2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_gives_the_same_pixels(dtype: torch.dtype) -> None:
    own, partner = noise(3, 2, 4, 5, dtype=dtype), noise(3, 2, 4, 5, seed=1, dtype=dtype)
    mask, ratio = noise(3, 1, 4, 5, seed=2) > 0, torch.tensor([0.2, 0.5, 0.9])
    for function, how in ((mix_images, mask), (blend_images, ratio)):
        spare = partner.clone()
        assert torch.equal(function(own, spare, how, out=spare), function(own, partner, how))


def test_gradients_flow_also_where_out_is_given() -> None:
    own = noise(2, 1, 3, 3).requires_grad_()
    mask, ratio = noise(2, 1, 3, 3, seed=2) > 0, torch.tensor([0.25, 0.75])
    spare = noise(2, 1, 3, 3, seed=1)
    (gradient,) = torch.autograd.grad(mix_images(own, spare, mask, out=spare).sum(), own)
    assert torch.equal(gradient, mask.float())
    (gradient,) = torch.autograd.grad(blend_images(own, spare, ratio, out=spare).sum(), own)
    torch.testing.assert_close(gradient, ratio.view(-1, 1, 1, 1).expand_as(own))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_paste_resizes_the_whole_partner(dtype: torch.dtype, layout: torch.memory_format) -> None:
    own = noise(4, 3, 12, 10, dtype=dtype).to(memory_format=layout)
    partner = noise(4, 3, 12, 10, seed=1, dtype=dtype).to(memory_format=layout)
    boxes = torch.tensor([[1, 5, 2, 4], [0, 12, 0, 10], [3, 3, 0, 5], [1, 5, 2, 4]])
    mixed = paste_resized(own, partner, boxes)
    assert mixed.dtype == dtype
    assert mixed.is_contiguous(memory_format=layout)
    for row, (top, bottom, left, right) in enumerate(boxes.tolist()):
        wanted = own[row].clone()
        if bottom > top:
            size = (bottom - top, right - left)
            small = F.interpolate(partner[row : row + 1].float(), size=size, mode="bilinear", antialias=True)[0]
            wanted[:, top:bottom, left:right] = (
                small.round().clamp(0, 255).to(dtype) if dtype == torch.uint8 else small.to(dtype)
            )
        torch.testing.assert_close(mixed[row], wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(mixed[2], own[2])


def test_nothing_changes_in_place() -> None:
    own, partner = noise(2, 3, 6, 6), noise(2, 3, 6, 6, seed=1)
    copies = own.clone(), partner.clone()
    mixed = [
        mix_images(own, partner, torch.ones(2, 1, 6, 6, dtype=torch.bool)),
        blend_images(own, partner, torch.ones(2)),
        paste_resized(own, partner, torch.tensor([[0, 2, 0, 2]] * 2)),
    ]
    for result in mixed:
        result.zero_()
    assert torch.equal(own, copies[0])
    assert torch.equal(partner, copies[1])


def test_pixels_of_any_dtype_are_chosen() -> None:
    for dtype in (torch.int64, torch.bool, torch.complex64, torch.uint16, torch.float8_e5m2):
        images, partners = (torch.full((2, 3, 4, 4), value).to(dtype) for value in (1, 0))
        mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
        mask[0] = True
        out = torch.empty_like(images)
        for mixed in (mix_images(images, partners, mask), mix_images(images, partners, mask, out=out), out):
            assert mixed.dtype == dtype
            assert (mixed[0].to(torch.complex64) == 1).all() and (mixed[1].to(torch.complex64) == 0).all()


X, M = torch.rand(2, 3, 4, 4), torch.ones(2, 1, 4, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("images", lambda: mix_images(X[0], X[0], M)),
        ("images", lambda: mix_images([1], X, M)),
        ("partners", lambda: mix_images(X, X[:1], M)),
        ("partners", lambda: mix_images(X, X.double(), M)),
        ("mask", lambda: mix_images(X, X, M[:1])),
        ("mask", lambda: mix_images(X, X, M.float())),
        ("partners", lambda: blend_images(X, X[:, :1], torch.ones(2))),
        ("ratio", lambda: blend_images(X, X, torch.ones(1))),
        ("ratio", lambda: blend_images(X, X, torch.ones(2, dtype=torch.long))),
        ("boxes", lambda: paste_resized(X, X, torch.zeros(1, 4, dtype=torch.long))),
        ("boxes", lambda: paste_resized(X, X, torch.zeros(2, 4))),
        ("boxes", lambda: paste_resized(X, X, torch.tensor([[0, 5, 0, 4], [0, 4, 0, 4]]))),
        ("images", lambda: blend_images(X.long(), X.long(), torch.ones(2))),
    ],
)
def test_bad_input_is_named(argument: str, call: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()
