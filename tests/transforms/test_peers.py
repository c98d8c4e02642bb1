"""The transforms Mixup, CutMix and ResizeMix mix as the mixers of the same names do."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.transforms import CutMix, MergeMix, Mixup, ResizeMix

from ..mix.batches import noise, quick

X, Y = noise(4, 3, 16, 16), torch.tensor([0, 3, 2, 1])
PEERS = {
    "mixup": (Mixup, lambda **options: mm.Mixup(0.7, **options), {"alpha": 0.7}),
    "cutmix": (CutMix, lambda **options: mm.Mixup(0.0, 0.7, **options), {"alpha": 0.7}),
    "resizemix": (ResizeMix, lambda **options: mm.ResizeMix((0.2, 0.6), **options), {"scale": (0.2, 0.6)}),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("name", PEERS)
def test_each_transform_mixes_as_its_mixer_does(name: str, mode: str) -> None:
    make, mixer, own = PEERS[name]
    shared = {"num_classes": 5, "mode": mode, "prob": 0.8, "label_smoothing": 0.1}
    images, targets = make(**own, **shared, generator=generator())(X, Y)
    wanted = mixer(**shared, generator=generator())(X, Y)
    assert torch.equal(images, wanted[0]) and torch.equal(targets, wanted[1])
    rows = (noise(4, 5) > 0).long()
    images, targets = make(**own, **shared, multi_label=True, generator=generator())(X, rows)
    wanted = mixer(**shared, multi_label=True, generator=generator())(X, rows)
    assert torch.equal(images, wanted[0]) and torch.equal(targets, wanted[1])


@quick
@given(
    name=st.sampled_from(["cutmix", "resizemix"]),
    dtype=st.sampled_from([torch.bool, torch.uint8, torch.int16, torch.int64]),
    image_dtype=st.sampled_from([torch.float32, torch.float16, torch.uint8]),
    mode=st.sampled_from(["batch", "pair", "elem"]),
    shape=st.tuples(st.integers(1, 5), st.integers(4, 12), st.integers(4, 12)),
    seed=st.integers(0, 2**31),
)
def test_mixed_masks_match_the_mixed_pixels(
    name: str, dtype: torch.dtype, image_dtype: torch.dtype, mode: str, shape: tuple, seed: int
) -> None:
    batch, height, width = shape
    rows = torch.arange(batch).view(-1, 1, 1).expand(-1, height, width)
    classes = rows.to(dtype) if dtype != torch.bool else rows % 2 == 1
    images = (40 * classes.to(torch.uint8)).unsqueeze(1).to(image_dtype)
    own = PEERS[name][0](mode=mode, generator=generator(seed))
    mixed, masks = own(tv_tensors.Image(images), tv_tensors.Mask(classes))
    shown = mixed.as_subclass(Tensor)[:, 0].double().div(40).round().to(dtype)
    assert torch.equal(masks.as_subclass(Tensor), shown)


@quick
@given(
    mode=st.sampled_from(["batch", "pair", "elem"]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
)
def test_mixup_blends_soft_masks_as_it_blends_images(mode: str, shape: tuple, seed: int) -> None:
    batch, height, width = shape
    classes = torch.randint(3, (batch, height, width), generator=generator(seed))
    shares = mm.functional.soft_masks(classes, 3)
    images, masks = Mixup(mode=mode, mask_classes=3, generator=generator(seed))(shares, tv_tensors.Mask(classes))
    assert torch.equal(images, masks.as_subclass(Tensor))


def test_mixup_refuses_masks_of_class_numbers_without_mask_classes() -> None:
    masks = tv_tensors.Mask(torch.zeros(4, 16, 16, dtype=torch.long))
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=r"^masks: got an int64 tensor .*functional\.soft_masks"):
        Mixup()(X, masks)
    assert torch.equal(torch.get_rng_state(), before)
    assert Mixup(mask_classes=2)(X, masks)[1].shape == (4, 2, 16, 16)


def test_mixup_refuses_boxes() -> None:
    boxes = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(16, 16))
    with pytest.raises(MergeMixError, match=r"^boxes: got boxes for mixup, wanted only CutMix or ResizeMix"):
        Mixup()(X, [{"boxes": boxes, "labels": torch.zeros(0)}] * 4)


@pytest.mark.parametrize("name", PEERS)
def test_copies_and_pickles_mix_alike(name: str) -> None:
    own = PEERS[name][0](num_classes=5)
    for twin in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        torch.manual_seed(0)
        wanted = own(X, Y)
        torch.manual_seed(0)
        assert torch.equal(twin(X, Y)[0], wanted[0])


@pytest.mark.parametrize("name", PEERS)
def test_the_batch_is_not_changed_in_place(name: str) -> None:
    x, y, masks = X.clone(), Y.clone(), torch.rand(4, 2, 16, 16)
    before = masks.clone()
    PEERS[name][0](num_classes=5)(x, y, tv_tensors.Mask(masks))
    assert torch.equal(x, X) and torch.equal(y, Y) and torch.equal(masks, before)


def test_repr_shows_the_settings() -> None:
    assert repr(Mixup(alpha=0.5, mode="pair")) == "Mixup(alpha=0.5, num_classes=None, mode='pair')"
    assert repr(CutMix(num_classes=3)) == "CutMix(alpha=1.0, num_classes=3, mode='batch')"
    assert repr(ResizeMix(num_classes=3)) == "ResizeMix(num_classes=3, mode='batch')"


def test_shared_options_have_one_default_in_all_transforms() -> None:
    signatures = [inspect.signature(each).parameters for each in (MergeMix, Mixup, CutMix, ResizeMix)]
    names = {name for each in signatures for name in each} - {"encoder", "alpha", "scale"}
    for name in names:
        assert len({repr(each[name].default) for each in signatures if name in each}) == 1, name
        assert all(each[name].kind is inspect.Parameter.KEYWORD_ONLY for each in signatures if name in each)
    everywhere = set.intersection(*map(set, signatures))
    assert everywhere == {
        *("num_classes", "labels_getter", "prob", "mode", "label_smoothing", "multi_label"),
        *("mask_classes", "ignore_index", "generator", "validate"),
    }
    assert [("min_visible" in each) for each in signatures] == [False, False, True, True]


@pytest.mark.parametrize(
    ("argument", "make", "options"),
    [
        *(
            ("alpha", make, {"alpha": value})
            for make in (Mixup, CutMix)
            for value in (0, -1.0, float("nan"), "1", None)
        ),
        *((r"scale(\[.\])?", ResizeMix, {"scale": value}) for value in (None, 0.5, (0.8, 0.2), (0.1, 1.5))),
        *(("num_classes", make, {"num_classes": 0}) for make in (Mixup, CutMix, ResizeMix)),
        *(("mode", make, {"mode": "row"}) for make in (Mixup, CutMix, ResizeMix)),
        *(("prob", make, {"prob": 2}) for make in (Mixup, CutMix, ResizeMix)),
        *(("label_smoothing", make, {"label_smoothing": -1}) for make in (Mixup, CutMix, ResizeMix)),
        *(("multi_label", make, {"multi_label": "no"}) for make in (Mixup, CutMix, ResizeMix)),
        *(("generator", make, {"generator": 3}) for make in (Mixup, CutMix, ResizeMix)),
        *(("validate", make, {"validate": "no"}) for make in (Mixup, CutMix, ResizeMix)),
        *(("mask_classes", make, {"mask_classes": 0}) for make in (Mixup, CutMix, ResizeMix)),
        *(("ignore_index", make, {"ignore_index": 0.5}) for make in (Mixup, CutMix, ResizeMix)),
        *(("min_visible", make, {"min_visible": 2}) for make in (CutMix, ResizeMix)),
    ],
)
def test_bad_settings_are_named(argument: str, make: type, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        make(**options)
