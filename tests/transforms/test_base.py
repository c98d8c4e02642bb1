"""Masks and boxes keep their class, format, dtype and canvas, also in pipelines and collate functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from timm_mergemix import DenseSoftTargetLoss, Draw, MergeMixError, ResizeMix, functional, transforms
from timm_mergemix.mix.blends import Blend, CutMixBlend, Pairs, Paste
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.transforms import CutMix, Mixup
from timm_mergemix.transforms import ResizeMix as ResizeMixTransform
from timm_mergemix.transforms.base import BatchTransform

from ..mix.batches import noise

X = noise(4, 3, 16, 12)
MASK = torch.randint(5, (4, 16, 12), generator=torch.Generator().manual_seed(0))
CORNERS = [
    torch.tensor(each).view(-1, 4).float()
    for each in ([(1, 2, 9, 15), (4, 4, 6, 9)], [(0, 0, 12, 16)], [], [(2, 1, 5, 8)])
]
LABELS = [torch.tensor([3, 1]), torch.tensor([2]), torch.zeros(0, dtype=torch.long), torch.tensor([4])]


def seeded(make: Callable[..., object], seed: int = 0, **options: object) -> object:
    return make(mode="elem", generator=torch.Generator().manual_seed(seed), **options)


def as_format(corners: Tensor, format: str) -> Tensor:
    left, top, right, bottom = corners.unbind(1)
    if format == "XYXY":
        return corners
    size = [right - left, bottom - top]
    start = [left, top] if format == "XYWH" else [(left + right) / 2, (top + bottom) / 2]
    return torch.stack([*start, *size], 1)


def as_corners(boxes: tv_tensors.BoundingBoxes) -> Tensor:
    values = boxes.as_subclass(Tensor).double()
    if boxes.format.name == "XYXY":
        return values
    start = values[:, :2] - (values[:, 2:] / 2 if boxes.format.name == "CXCYWH" else 0)
    return torch.cat([start, start + values[:, 2:]], 1)


def targets(format: str = "XYXY", dtype: torch.dtype = torch.float32, canvas: tuple = (16, 12)) -> list[dict]:
    found = [as_format(each, format).to(dtype) for each in CORNERS]
    return [
        {"boxes": tv_tensors.BoundingBoxes(each, format=format, canvas_size=canvas), "labels": labels}
        for each, labels in zip(found, LABELS, strict=True)
    ]


@pytest.mark.parametrize("shape", [(4, 16, 12), (4, 1, 16, 12), (4, 3, 16, 12)])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_keep_their_class(dtype: torch.dtype, shape: tuple) -> None:
    if dtype.is_floating_point and len(shape) == 3:
        return
    masks = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.5).to(dtype)
    images, out = seeded(CutMix)(tv_tensors.Image(X), tv_tensors.Mask(masks))
    wanted = seeded(Mixer, blends=[(CutMixBlend(), 1.0)]).mix(X, masks=masks)
    assert type(images) is tv_tensors.Image and type(out) is tv_tensors.Mask and out.dtype == dtype
    assert torch.equal(out.as_subclass(Tensor), wanted.masks) and torch.equal(images.as_subclass(Tensor), wanted.images)


@pytest.mark.parametrize("make", [CutMix, ResizeMixTransform, Mixup])
def test_mask_classes_converts_class_numbers_to_shares(make: type) -> None:
    masks = MASK.masked_fill(MASK == 4, 9)
    soft = functional.soft_masks(masks, 4, 9)
    own = seeded(make, mask_classes=4, ignore_index=9)
    results = [own(X, tv_tensors.Mask(each))[1] for each in (masks, masks.unsqueeze(1).byte())]
    own = seeded(make, mask_classes=4)
    results += [own(X, tv_tensors.Mask(soft))[1] for _ in range(2)]
    for first, second in ((results[0], results[2]), (results[1], results[3])):
        assert type(first) is tv_tensors.Mask and first.dtype == torch.float32 and torch.equal(first, second)
    loss = DenseSoftTargetLoss()(noise(4, 4, 16, 12), results[0])
    assert loss.isfinite()


def test_the_smallest_settings_are_accepted() -> None:
    none = tv_tensors.Mask(torch.zeros(4, 16, 12, dtype=torch.long))
    assert CutMix(mask_classes=1, ignore_index=-(2**31), min_visible=0)(X, none)[1].shape == (4, 1, 16, 12)
    assert CutMix(mask_classes=1, ignore_index=None, min_visible=1)(X, none)[1].shape == (4, 1, 16, 12)


def test_soft_masks_of_the_wrong_number_of_classes_are_refused() -> None:
    soft = tv_tensors.Mask(functional.soft_masks(MASK, 5))
    with pytest.raises(MergeMixError, match=r"^masks: got .*, wanted shape \(B, 4, H, W\), as mask_classes says"):
        CutMix(mask_classes=4)(X, soft)
    with pytest.raises(MergeMixError, match=r"^masks: got numbers from 0 to 4, wanted numbers from 0 to 3"):
        CutMix(mask_classes=4)(X, tv_tensors.Mask(MASK))


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_boxes_keep_their_format_dtype_and_canvas(format: str, dtype: torch.dtype) -> None:
    before = targets(format, dtype)
    images, out = seeded(ResizeMixTransform, min_visible=0.3)(X, before)
    wanted = seeded(ResizeMix).mix(X, boxes=CORNERS, box_labels=LABELS, min_visible=0.3)
    assert torch.equal(images, wanted.images)
    for number, each in enumerate(out):
        assert type(each["boxes"]) is tv_tensors.BoundingBoxes and type(each["labels"]) is Tensor
        assert each["boxes"].format.name == format and each["boxes"].dtype == dtype
        assert each["boxes"].canvas_size == (16, 12)
        values = each["boxes"].as_subclass(Tensor).double()
        slack = 0.02 if dtype == torch.float16 else 1e-5
        torch.testing.assert_close(values, as_format(wanted.boxes[number], format).double(), rtol=0, atol=slack)
        assert torch.equal(each["labels"], wanted.box_labels[number])
        assert torch.equal(before[number]["boxes"], targets(format, dtype)[number]["boxes"])
    assert len(out[0]["boxes"]) > 0 and any(
        len(each["labels"]) != len(old) for each, old in zip(out, LABELS, strict=True)
    )


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16])
def test_integer_boxes_are_rounded_outwards(format: str, dtype: torch.dtype) -> None:
    before = targets(format, dtype)
    given = [as_corners(each["boxes"]) for each in before]
    for seed in range(5):
        _, out = seeded(ResizeMixTransform, seed)(X, before)
        wanted = seeded(ResizeMix, seed).mix(X, boxes=given, box_labels=LABELS)
        for each, exact in zip(out, wanted.boxes, strict=True):
            assert each["boxes"].dtype == dtype and each["boxes"].format.name == format
            corners = as_corners(each["boxes"])
            # Rounding the centre costs up to half a pixel.
            slack = 0.51 if format == "CXCYWH" else 1e-3
            assert (corners[:, :2] <= exact[:, :2] + slack).all() and (corners[:, 2:] >= exact[:, 2:] - slack).all()
            assert ((corners - exact).abs() <= 1 + slack).all()
            assert ((corners[:, 2:] - corners[:, :2]) >= 1).all()


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_boxes_that_stay_visible_are_unchanged(format: str, dtype: torch.dtype) -> None:
    before = targets(format, dtype)
    for make in (CutMix, ResizeMixTransform):
        _, out = make(prob=0.0)(X, before)
        for each, old in zip(out, before, strict=True):
            assert torch.equal(each["boxes"], old["boxes"]) and torch.equal(each["labels"], old["labels"])
            assert each["boxes"] is not old["boxes"] or not len(old["boxes"])


def test_min_visible_is_the_share_below_which_boxes_are_dropped() -> None:
    """The left half of each image is hidden: the first box loses a half, the second a quarter, the third all."""
    corners = torch.tensor([[4.0, 0, 8, 4], [5, 0, 9, 4], [0, 0, 6, 4]])
    half = Half()
    for least, kept in ((0.0, [0, 1]), (0.5, [0, 1]), (0.51, [1]), (0.76, [])):
        boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(16, 12))
        empty = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(16, 12))
        sample = [{"boxes": boxes, "labels": torch.arange(3)}, {"boxes": empty, "labels": torch.arange(0)}]
        _, out = BatchTransform(Mixer([(half, 1.0)]), min_visible=least)(X[:2], sample)
        assert out[0]["labels"].tolist() == kept


class Half:
    """The partner's left half, six pixels of twelve."""

    name, pastes_box = "half", True

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        count = len(pairs.own)
        mask = torch.ones(count, 1, 16, 12, dtype=torch.bool)
        mask[..., :6] = False
        boxes = torch.tensor([[0, 16, 0, 6]]).expand(count, -1)
        return Blend(
            torch.where(mask, pairs.own, pairs.partner), torch.full((count,), 0.5), mask, paste=Paste(boxes, False)
        )


def test_boxes_with_a_canvas_of_another_size_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^inputs: got boxes with a canvas of 12 x 16 pixels, wanted .* 16 x 12"):
        CutMix()(X, targets(canvas=(12, 16)))


def test_images_labels_masks_and_boxes_are_mixed_together() -> None:
    sample = {
        "image": tv_tensors.Image(X),
        "mask": tv_tensors.Mask(MASK),
        "objects": targets(),
        "label": torch.arange(4),
    }
    out = seeded(CutMix, num_classes=4)(sample)
    mixer = seeded(Mixer, blends=[(CutMixBlend(), 1.0)], num_classes=4, label_smoothing=0.0)
    wanted = mixer.mix(X, torch.arange(4), masks=MASK, boxes=CORNERS, box_labels=LABELS)
    assert torch.equal(out["image"].as_subclass(Tensor), wanted.images)
    assert torch.equal(out["mask"].as_subclass(Tensor), wanted.masks)
    assert torch.equal(out["label"], wanted.targets)
    for each, boxes, labels in zip(out["objects"], wanted.boxes, wanted.box_labels, strict=True):
        torch.testing.assert_close(each["boxes"].as_subclass(Tensor), boxes)
        assert torch.equal(each["labels"], labels)


def test_transforms_work_in_a_pipeline() -> None:
    pipeline = v2.Compose(
        [
            v2.RandomHorizontalFlip(1.0),
            v2.RandomChoice([CutMix(mask_classes=5), ResizeMixTransform(mask_classes=5), Mixup(mask_classes=5)]),
            v2.Normalize([0.0] * 3, [1.0] * 3),
        ]
    )
    torch.manual_seed(0)
    for _ in range(6):
        images, masks = pipeline(tv_tensors.Image(X), tv_tensors.Mask(MASK))
        assert images.shape == X.shape and masks.shape == (4, 5, 16, 12)
        torch.testing.assert_close(masks.as_subclass(Tensor).sum(1), torch.ones(4, 16, 12))


def test_without_masks_random_choice_takes_them_beside_torchvisions() -> None:
    choice = v2.RandomChoice([v2.MixUp(num_classes=5), v2.CutMix(num_classes=5), CutMix(num_classes=5)])
    for _ in range(6):
        images, rows = choice(X, torch.arange(4))
        assert images.shape == X.shape
        torch.testing.assert_close(rows.sum(1), torch.ones(4))


class Scenes(torch.utils.data.Dataset):
    """Images with a mask and objects, wrapped and flipped as in torchvision's datasets."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> tuple:
        sample = targets()[row]
        return v2.RandomHorizontalFlip(1.0)(tv_tensors.Image(X[row]), tv_tensors.Mask(MASK[row]), sample)


class Collate:
    """Stacks images and masks, which drops their class, and leaves objects unchanged."""

    def __init__(self, transform: nn.Module) -> None:
        self.transform = transform

    def __call__(self, samples: list) -> object:
        images, masks, objects = zip(*samples, strict=True)
        return self.transform(torch.stack(images), tv_tensors.Mask(torch.stack(masks)), list(objects))


@pytest.mark.parametrize("workers", [0, 1])
def test_transforms_work_in_a_collate_function(workers: int) -> None:
    collate = Collate(v2.RandomChoice([CutMix(), ResizeMixTransform()]))
    (batch,) = DataLoader(Scenes(), 4, collate_fn=collate, num_workers=workers)
    images, masks, objects = batch
    assert images.shape == X.shape and type(masks) is tv_tensors.Mask and len(objects) == 4
    for each in objects:
        assert type(each["boxes"]) is tv_tensors.BoundingBoxes and len(each["boxes"]) == len(each["labels"])


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("labels_getter", {"labels_getter": "second"}),
        ("mask_classes", {"mask_classes": 0}),
        ("mask_classes", {"mask_classes": 2.5}),
        ("ignore_index", {"ignore_index": "255"}),
        ("min_visible", {"min_visible": 1.5}),
        ("min_visible", {"min_visible": float("nan")}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        CutMix(**options)


def test_videos_are_refused_and_the_suggested_call_mixes_them() -> None:
    clips, masks = noise(2, 3, 5, 16, 12), torch.randint(4, (2, 5, 16, 12), generator=torch.Generator().manual_seed(0))
    with pytest.raises(MergeMixError, match=r"^images: .*images.flatten\(1, 2\) mixes all frames or slices"):
        CutMix()(clips, tv_tensors.Mask(masks))
    frames = clips.transpose(1, 2).flatten(1, 2)
    images, mixed = seeded(CutMix)(frames, tv_tensors.Mask(masks))
    twins = seeded(CutMix)(clips[:, :, 0], tv_tensors.Mask(masks[:, 0]))
    assert torch.equal(images.view(2, 5, 3, 16, 12)[:, 0], twins[0])
    assert torch.equal(mixed[:, 0].as_subclass(Tensor), twins[1].as_subclass(Tensor))
    shown = (images == frames).view(2, 5, 3, 16, 12).all(2)
    assert torch.equal(mixed.as_subclass(Tensor), torch.where(shown, masks, masks.flip(0)))


@pytest.mark.parametrize("name", ["MergeMix", "Mixup", "CutMix", "ResizeMix"])
def test_ignore_index_is_255_by_default(name: str) -> None:
    assert inspect.signature(getattr(transforms, name)).parameters["ignore_index"].default == 255
