"""Dense labels are mixed as the pixels of their images are, in every way of mixing."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix import Blend, Draw, MergeMixError, Mixer, Mixup, Pairs, ResizeMix, functional
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend, ResizeMixBlend
from timm_mergemix.mix.maps import CLASSES, class_map
from timm_mergemix.mix.mergemix import MergeMixBlend

from .batches import FixedSaliency, mergemix, noise, quick

SCATTERED, BOXED = MergeMixBlend(FixedSaliency(3, 2)), CutMixBlend()
MIXERS: dict[str, Callable[..., Mixer]] = {
    "mergemix": lambda **options: mergemix(3, 2, **options),
    "cutmix": lambda **options: Mixup(0.0, 1.0, **options),
    "cutmix, drawn lambda": lambda **options: Mixup(0.0, 1.0, correct_lam=False, **options),
    "cutmix, limits": lambda **options: Mixup(0.0, 1.0, (0.2, 0.9), **options),
    "mixed": lambda **options: Mixer([(SCATTERED, 0.5), (BOXED, 0.3)], **options),
    "resizemix": lambda **options: ResizeMix(**options),
    "mixed, resized": lambda **options: Mixer([(SCATTERED, 0.4), (ResizeMixBlend(), 0.6)], **options),
    "mixup": lambda **options: Mixup(1.0, **options),
    "all": lambda **options: Mixer([(SCATTERED, 0.3), (BOXED, 0.2), (MixupBlend(), 0.5)], **options),
}
WHOLE = list(MIXERS)[:5]
batches = {
    "mode": st.sampled_from(["batch", "pair", "elem"]),
    "prob": st.sampled_from([0.5, 1.0]),
    "shape": st.tuples(st.integers(1, 5), st.integers(5, 13), st.integers(5, 13)),
    "seed": st.integers(0, 2**31),
}
IMAGES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8]


def mixed(name: str, mode: str, prob: float, seed: int, images: Tensor, masks: Tensor, labels: Tensor | None = None):
    generator = torch.Generator().manual_seed(seed)
    mixer = MIXERS[name](mode=mode, prob=prob, num_classes=10, generator=generator)
    before, versions = masks.clone(), (images._version, masks._version)
    batch = mixer.mix(images, labels, masks=masks)
    assert torch.equal(masks, before) and (images._version, masks._version) == versions
    assert type(batch.masks) is Tensor and batch.masks.dtype == masks.dtype and batch.masks.shape == masks.shape
    return batch


@quick
@given(
    name=st.sampled_from(WHOLE),
    dtype=st.sampled_from(CLASSES),
    image_dtype=st.sampled_from(IMAGES),
    axes=st.integers(0, 2),
    **batches,
)
def test_masks_and_images_agree_pixel_by_pixel(
    name: str, dtype: torch.dtype, image_dtype: torch.dtype, axes: int, mode: str, prob: float, shape: tuple, seed: int
) -> None:
    # Each pixel of an image is its class number, so the mixed image says what the mixed mask must be.
    batch, height, width = shape
    values = torch.randint(
        2 if dtype == torch.bool else 100, (batch, 3, height, width), generator=torch.Generator().manual_seed(seed)
    )
    masks = (values[:, 0], values[:, :1], values)[axes].to(dtype)
    got = mixed(name, mode, prob, seed, values.to(image_dtype), masks)
    wanted = (got.images[:, 0], got.images[:, :1], got.images)[axes].to(dtype)
    assert torch.equal(got.masks, wanted)


@quick
@given(
    name=st.sampled_from(list(MIXERS)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    last=st.booleans(),
    **batches,
)
def test_soft_masks_are_mixed_as_images_of_shares(
    name: str, dtype: torch.dtype, last: bool, mode: str, prob: float, shape: tuple, seed: int
) -> None:
    batch, height, width = shape
    layout = torch.channels_last if last else torch.contiguous_format
    shares = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    masks = shares.to(memory_format=layout)
    got = mixed(name, mode, prob, seed, shares, masks, torch.arange(batch))
    resized = torch.tensor([kind == "resizemix" for kind in got.kind]).view(-1, 1, 1, 1)
    pasted = torch.zeros(1, dtype=torch.bool) if got.mask is None else resized & ~got.mask
    # Within what ResizeMix pasted, the image is smoothed and the mask is not.
    assert torch.equal(got.masks.where(~pasted, 0), got.images.where(~pasted, 0))
    assert got.masks.min() >= 0 and got.masks.max() <= 1


@quick
@given(name=st.sampled_from(["resizemix", "mixed, resized", *WHOLE]), image_dtype=st.sampled_from(IMAGES), **batches)
def test_each_pixel_has_the_class_of_the_image_that_it_shows(
    name: str, image_dtype: torch.dtype, mode: str, prob: float, shape: tuple, seed: int
) -> None:
    batch, height, width = shape
    rows = torch.arange(1, batch + 1).view(-1, 1, 1)
    masks = rows.expand(-1, height, width)
    got = mixed(name, mode, prob, seed, (20 * masks.unsqueeze(1)).to(image_dtype), masks)
    assert torch.equal(got.masks, got.images[:, 0].double().div(20).round().long())
    own = (got.masks == rows).flatten(1).double().mean(1)
    partner = (got.masks == rows[got.index]).flatten(1).double().mean(1)
    torch.testing.assert_close(
        own + partner, torch.where(rows.flatten() == rows[got.index].flatten(), 2.0, 1.0).double()
    )
    measured = got.ratio if got.measured is None else got.measured
    torch.testing.assert_close(own.float().where(own + partner < 2, measured), measured)


@quick
@given(
    dtype=st.sampled_from([torch.uint8, torch.bool, torch.int64, torch.float32, torch.float16]),
    four=st.booleans(),
    **batches,
)
def test_resizemix_takes_the_pixel_in_which_the_centre_lies(
    dtype: torch.dtype, four: bool, mode: str, prob: float, shape: tuple, seed: int
) -> None:
    batch, height, width = shape
    values = torch.randint(0, 2, (batch, 2, height, width), generator=torch.Generator().manual_seed(seed))
    masks = values.to(dtype) if four or dtype.is_floating_point else values[:, 0].to(dtype)
    got = mixed("resizemix", mode, prob, seed, noise(batch, 1, height, width), masks)
    assert got.mask is not None or set(got.kind) == {"none"}
    for row in range(batch if got.mask is not None else 0):
        wanted = masks[row].clone()
        ys, xs = (~got.mask[row, 0]).nonzero(as_tuple=True)
        for y, x in zip(ys.tolist(), xs.tolist(), strict=True):
            top, left, rows, columns = ys.min(), xs.min(), ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
            from_y = int((y - top + 0.5) * height / rows)
            from_x = int((x - left + 0.5) * width / columns)
            wanted[..., y, x] = masks[batch - 1 - row][..., from_y, from_x]
        assert torch.equal(got.masks[row], wanted)


def test_resizing_is_torchs_exact_nearest() -> None:
    images, masks = noise(2, 3, 24, 30), torch.rand(2, 4, 24, 30, generator=torch.Generator().manual_seed(1))
    for side in (0.1, 0.37, 0.5, 0.8):
        got = ResizeMix((side, side), num_classes=None).mix(images, masks=masks)
        ys, xs = (~got.mask[0, 0]).nonzero(as_tuple=True)
        box = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        size = (box[0].stop - box[0].start, box[1].stop - box[1].start)
        wanted = F.interpolate(masks.flip(0), size=tuple(map(int, size)), mode="nearest-exact")
        assert torch.equal(got.masks[..., box[0], box[1]], wanted)


@pytest.mark.parametrize("name", ["mergemix", "cutmix", "resizemix"])
def test_masks_are_mixed_beside_labels_by_the_same_numbers(name: str) -> None:
    images, labels, masks = noise(4, 3, 12, 12), torch.arange(4), torch.randint(9, (4, 12, 12))
    beside = mixed(name, "elem", 1.0, 3, images, masks, labels)
    alone = mixed(name, "elem", 1.0, 3, images, masks)
    plain = MIXERS[name](mode="elem", num_classes=10, generator=torch.Generator().manual_seed(3)).mix(images, labels)
    for other in (alone, plain):
        assert torch.equal(other.images, beside.images) and torch.equal(other.ratio, beside.ratio)
    assert torch.equal(alone.masks, beside.masks) and torch.equal(plain.targets, beside.targets)
    assert alone.labels is None and plain.masks is None
    for name in ("targets", "mass"):
        with pytest.raises(MergeMixError, match=r"^labels: got None"):
            getattr(alone, name)


def test_the_mix_of_nothing_is_a_copy() -> None:
    masks = torch.ones(2, 8, 8, dtype=torch.uint8)
    mixer = Mixup(0.0, 1.0, prob=0.0)
    got = mixer.mix(noise(2, 3, 8, 8), masks=masks)
    assert torch.equal(got.masks, masks) and got.masks.data_ptr() != masks.data_ptr()


def test_shares_of_half_precision_are_blended_in_float32() -> None:
    masks = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    got = Mixup(1.0, generator=torch.Generator().manual_seed(0)).mix(noise(2, 3, 8, 8), masks=masks)
    weight = got.ratio.double().view(-1, 1, 1, 1)
    wanted = weight * masks.double() + (1 - weight) * masks.flip(0).double()
    torch.testing.assert_close(got.masks.double(), wanted, rtol=2**-11, atol=1e-7)


MASKS = torch.zeros(2, 8, 6, dtype=torch.long)
SHARES = torch.full((2, 3, 8, 6), 0.3)


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ([[0]], r"a tensor of shape \(2, 8, 6\) or \(2, num_classes, 8, 6\)"),
        (MASKS[0], r"a tensor of shape \(2, 8, 6\)"),
        (MASKS[:1], r"shape \(2, 8, 6\)"),
        (MASKS.transpose(1, 2), r"shape \(2, 8, 6\)"),
        (MASKS.float(), r"a float tensor of shape \(2, num_classes, 8, 6\)"),
        (MASKS.to(torch.complex64), "signed integers"),
        (MASKS.to(torch.uint16), "class numbers as bool, uint8 or signed integers"),
        (MASKS.to_sparse(), r"shape \(2, 8, 6\)"),
        (MASKS.to("meta"), "on cpu, like the images"),
        (SHARES[:, :, :4], r"shape \(2, num_classes, 8, 6\)"),
        (SHARES * 4, "from 0 to 1"),
        (-SHARES, "from 0 to 1"),
        (SHARES * float("nan"), "from 0 to 1"),
        (SHARES.to(torch.float8_e5m2), "a float tensor"),
    ],
)
@pytest.mark.parametrize("name", MIXERS)
def test_bad_masks_are_named_before_anything_is_drawn(name: str, masks: object, wanted: str) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^masks: got .*wanted.*({wanted})"):
        MIXERS[name]().mix(noise(2, 3, 8, 6), masks=masks)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["mixup", "all"])
@pytest.mark.parametrize("masks", [MASKS, MASKS.bool(), MASKS.unsqueeze(1).byte()])
def test_class_numbers_are_never_blended(name: str, masks: Tensor) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=r"^masks: .*functional\.soft_masks makes them, since the mixer may blend"):
        MIXERS[name](prob=0.0).mix(noise(2, 3, 8, 6), masks=masks)
    assert torch.equal(torch.get_rng_state(), before)


class Half:
    """A user's blend without a mask."""

    name = "half"

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        return Blend((pairs.own + pairs.partner) / 2, torch.full((len(pairs.own),), 0.5))


def test_a_blend_of_ones_own_without_a_mask_blends_shares_alone() -> None:
    mixer = Mixer([(Half(), 1.0)])
    got = mixer.mix(noise(2, 3, 8, 6), masks=SHARES.clone())
    torch.testing.assert_close(got.masks, SHARES)
    with pytest.raises(MergeMixError, match=r"^masks: .*since the way of mixing has no pixel mask"):
        mixer.mix(noise(2, 3, 8, 6), masks=MASKS)


@quick
@given(
    st.sampled_from(CLASSES[1:]),
    st.sampled_from([None, -100, -1, 3, 255]),
    st.booleans(),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_soft_masks_are_those_of_a_loop(
    dtype: torch.dtype, ignore: int | None, four: bool, classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(classes, (2, 3, 4), generator=generator)
    fits = ignore is not None and torch.tensor(ignore).to(dtype).item() == ignore
    if fits:
        masks[torch.rand(2, 3, 4, generator=generator) < 0.3] = ignore
    soft = functional.soft_masks(masks.unsqueeze(1).to(dtype) if four else masks.to(dtype), classes, ignore)
    assert soft.dtype == torch.float32 and soft.shape == (2, classes, 3, 4)
    for row, c, y, x in itertools.product(range(2), range(classes), range(3), range(4)):
        number = masks[row, y, x].item()
        assert soft[row, c, y, x] == float(number == c and number != ignore)


def test_soft_masks_of_bool_are_two_classes() -> None:
    masks = noise(2, 3, 4) > 0
    assert torch.equal(functional.soft_masks(masks, 2), torch.stack([~masks, masks], 1).float())


def test_an_ignored_class_does_not_wrap_around() -> None:
    # As uint8, -100 would be 156, and 255 would be -1 as int8.
    with pytest.raises(MergeMixError, match=r"^masks: got numbers from 156 to 156"):
        functional.soft_masks(torch.full((1, 1, 1), 156, dtype=torch.uint8), 3, -100)
    with pytest.raises(MergeMixError, match=r"^masks: got numbers from -1 to -1"):
        functional.soft_masks(torch.full((1, 1, 1), -1, dtype=torch.int8), 3, 255)


def test_soft_masks_are_made_for_each_sample_by_itself() -> None:
    masks = torch.randint(3, (4, 5, 6), generator=torch.Generator().manual_seed(0))
    soft = torch.vmap(lambda mask: functional.soft_masks(mask.unsqueeze(0), 3)[0])(masks)
    assert torch.equal(soft, functional.soft_masks(masks, 3))


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("masks", lambda: functional.soft_masks([[0]], 3)),
        ("masks", lambda: functional.soft_masks(MASKS.float(), 3)),
        ("masks", lambda: functional.soft_masks(MASKS.to(torch.complex64), 3)),
        ("masks", lambda: functional.soft_masks(MASKS[0], 3)),
        ("masks", lambda: functional.soft_masks(MASKS.view(2, 2, 4, 6), 3)),
        ("masks", lambda: functional.soft_masks(MASKS + 3, 3)),
        ("masks", lambda: functional.soft_masks(MASKS - 1, 3)),
        ("masks", lambda: functional.soft_masks(MASKS + 255, 3, None)),
        ("num_classes", lambda: functional.soft_masks(MASKS, 0)),
        ("num_classes", lambda: functional.soft_masks(MASKS, 2.0)),
        ("ignore_index", lambda: functional.soft_masks(MASKS, 3, 0.5)),
    ],
)
def test_bad_input_is_named(argument: str, call: Callable[[], object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()


def test_class_numbers_are_read_in_int64() -> None:
    assert class_map("target", torch.tensor([[[7]]], dtype=torch.uint16)).dtype == torch.int64
    assert class_map("target", torch.tensor([[[[7]]]], dtype=torch.uint8)).shape == (1, 1, 1)
