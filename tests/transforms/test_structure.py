"""Images, labels, masks and boxes are found and replaced in any structure; other dense data is refused."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from timm_mergemix import MergeMixError
from timm_mergemix.transforms import CutMix, ResizeMix
from timm_mergemix.transforms.structure import find_inputs, find_labels, replaced

from ..mix.batches import noise

X, Y = noise(4, 3, 16, 16), torch.tensor([0, 3, 2, 1])
MASK = tv_tensors.Mask(torch.randint(5, (4, 16, 16)))


def boxes(*each: tuple, format: str = "XYXY", canvas: tuple[int, int] = (16, 16)) -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(torch.tensor(each).view(-1, 4).float(), format=format, canvas_size=canvas)


def targets() -> list[dict[str, object]]:
    """Objects of four images; the last image has none."""
    return [{"boxes": boxes(*[(1, 2, 9, 9)] * n), "labels": torch.arange(n), "id": str(n)} for n in (1, 2, 3, 0)]


def transform(**options: object) -> CutMix:
    return CutMix(**{"num_classes": 5, "generator": torch.Generator().manual_seed(0)} | options)


IMAGES, TARGETS = transform()(X, Y)


def test_samples_keep_their_structure() -> None:
    pair = transform()([X, Y])
    assert isinstance(pair, list)
    assert torch.equal(pair[0], IMAGES)
    sample = {"image": X, "label": Y, "path": "a.png", "size": 7}
    out = transform(labels_getter=lambda inputs: inputs["label"])(sample)
    assert list(out) == ["image", "label", "path", "size"]
    assert torch.equal(out["image"], IMAGES)
    assert torch.equal(out["label"], TARGETS)
    assert (out["path"], out["size"]) == ("a.png", 7)
    assert sample["image"] is X and sample["label"] is Y
    nested = transform(labels_getter=lambda inputs: inputs[1]["y"])(({"x": X}, {"y": Y}))
    assert torch.equal(nested[0]["x"], IMAGES)
    assert torch.equal(nested[1]["y"], TARGETS)


@pytest.mark.parametrize("make", [dict, OrderedDict, UserDict, lambda d: defaultdict(list, d)])
def test_dictionaries_keep_their_class(make: type) -> None:
    sample = make({"image": X, "label": Y})
    out = transform()(sample)
    assert type(out) is type(sample) and torch.equal(out["image"], IMAGES) and sample["image"] is X
    assert getattr(out, "default_factory", None) is getattr(sample, "default_factory", None)


def test_an_immutable_mapping_becomes_a_dictionary() -> None:
    out = transform()(MappingProxyType({"image": X, "label": Y}))
    assert type(out) is dict and torch.equal(out["image"], IMAGES)


def test_named_tuples_keep_their_class() -> None:
    class Sample(NamedTuple):
        image: Tensor
        label: Tensor

    out = transform()(Sample(X, Y))
    assert type(out) is Sample and torch.equal(out.image, IMAGES)


@pytest.mark.parametrize("images", [X, tv_tensors.Image(X)])
def test_labels_may_come_before_images(images: Tensor) -> None:
    out = transform()({"label": Y, "image": images})
    assert torch.equal(out["image"], IMAGES) and torch.equal(out["label"], TARGETS)


def test_labels_are_found_by_their_name() -> None:
    out = transform()({"image": X, "label_names": Y.clone(), "Labels": Y})
    assert torch.equal(out["Labels"], TARGETS) and torch.equal(out["label_names"], Y)
    assert find_labels({"image": X, "path": "a"}) is None
    assert find_labels((X, {"my_label": Y})) is Y


def test_labels_that_are_in_two_places_are_mixed_in_both() -> None:
    out = transform()({"image": X, "labels": Y, "again": [Y]})
    assert torch.equal(out["labels"], TARGETS) and torch.equal(out["again"][0], TARGETS)


def test_other_entries_are_returned_unchanged() -> None:
    time, weights = torch.arange(4.0), noise(4, 7)
    out = transform()(X, Y, time, {"weights": weights, "nothing": None, "clean": X.clone()})
    assert out[2] is time and out[3]["weights"] is weights and out[3]["nothing"] is None
    assert torch.equal(out[3]["clean"], X)
    for shape in ((4, 7, 7), (4, 16, 7), (3, 16, 16), (4, 5, 16, 16), (4, 1, 7, 16)):  # not a mask
        other = torch.zeros(shape, dtype=torch.long)
        assert transform()(X, Y, other)[2] is other


def test_rows_of_labels_are_found() -> None:
    rows = torch.eye(5)[Y]
    assert torch.equal(transform()(X, rows)[1], TARGETS)


@pytest.mark.parametrize(
    "whole",
    [
        (X, MASK),
        {"image": X, "mask": MASK},
        {"mask": MASK, "image": tv_tensors.Image(X), "names": ["a", "b"]},
        (X, {"segmentation": MASK}, "path"),
        [X, "path", MASK],
    ],
)
def test_masks_need_no_labels(whole: object) -> None:
    found = find_inputs(whole, find_labels)
    assert found.labels == () and found.objects == ()
    assert found.leaves[found.masks] is MASK and torch.equal(found.leaves[found.images], X)


def test_objects_are_found_in_the_order_of_the_images() -> None:
    objects = targets()
    for whole in ((X, objects), {"targets": objects, "image": X}, (X, Y, {"all": objects})):
        found = find_inputs(whole, find_labels)
        assert [found.leaves[place] is each["boxes"] for (place, _), each in zip(found.objects, objects, strict=True)]
        assert all(
            found.leaves[place] is each["labels"] for (_, place), each in zip(found.objects, objects, strict=True)
        )
        assert found.leaves[found.images] is X
        assert len(found.labels) == (len(whole) == 3)


def test_one_image_with_its_objects_has_no_labels_of_its_own() -> None:
    sample = {"boxes": boxes((1, 1, 5, 5)), "labels": torch.tensor([3])}
    for whole in ({"image": X[:1], **sample}, (X[:1], sample)):
        found = find_inputs(whole, find_labels)
        assert found.labels == () and len(found.objects) == 1


def test_objects_that_share_a_tensor_get_separate_results() -> None:
    """If several images share empty tensors or whole objects, each image still gets its own result."""
    none, nothing = boxes(), torch.zeros(0, dtype=torch.long)
    full, labels = boxes((0, 0, 16, 16)), torch.tensor([1])
    made = [(none, nothing), (full, labels), (none, nothing), (none, nothing)]
    mixer = ResizeMix(generator=torch.Generator().manual_seed(0))
    _, out = mixer(X, [{"boxes": each, "labels": name} for each, name in made])
    assert [each["labels"].tolist() for each in out] == [[], [1], [1], []]
    same = {"boxes": full, "labels": labels}
    _, out = ResizeMix(mode="elem", generator=torch.Generator().manual_seed(0))(X, [same] * 4)
    assert len({tuple(each["boxes"][1].tolist()) for each in out}) == 4


def test_replaced_changes_only_the_given_places() -> None:
    whole = {"a": [1, (2, 3)], 4: "x"}
    assert replaced(whole, {("a", 1, 0): 9, (4,): "y"}) == {"a": [1, (9, 3)], 4: "y"}
    assert replaced(5, {(): 6}) == 6
    assert isinstance(replaced(whole, {}), Mapping) and replaced(whole, {}) == whole


PICTURE = Image.new("RGB", (16, 16))
VIDEO = tv_tensors.Video(torch.zeros(4, 3, 3, 16, 16))
OBJECTS = {"boxes": boxes((1, 1, 5, 5)), "labels": torch.tensor([3])}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "inputs with a tensor of labels"),
        ((X,), "inputs with a tensor of labels"),
        ((tv_tensors.Image(X),), "inputs with a tensor of labels"),
        (([X],), "inputs with a tensor of labels"),
        ((PICTURE, Y), "one batch of images"),
        ((tv_tensors.Image(X), Y, tv_tensors.Image(X)), "one batch of images"),
        ((X, [0, 1, 2, 3]), "inputs with a tensor of labels"),
        ((X, [0, 1, 2, 3], MASK), "inputs with a tensor of labels"),
        (
            (X, Y, PICTURE),
            "got an Image, wanted only images, labels, masks and boxes, because anything else would",
        ),
        ((VIDEO, Y), r"got a Video of shape \(4, 3, 3, 16, 16\), wanted .*video.flatten\(1, 2\) mixes all frames"),
        ((X, Y, VIDEO), "got a Video of shape"),
        ((X, MASK, MASK.clone()), "got 2 masks, wanted one mask for the batch; masks of single objects"),
        ((X, Y, MASK.as_subclass(Tensor)), r"the size of the images, wanted a tv_tensors.Mask, because a plain"),
        ((X, Y, MASK.as_subclass(Tensor).unsqueeze(1).byte()), r"the size of the images, wanted a tv_tensors.Mask"),
        ((X, Y, MASK.as_subclass(Tensor) > 2), r"the size of the images, wanted a tv_tensors.Mask"),
        ((X, [boxes((1, 1, 5, 5))], [torch.tensor([3])]), "got BoundingBoxes in a list, wanted a dictionary of boxes"),
        ((X, [{"boxes": OBJECTS["boxes"]}]), "wanted one set of boxes and a tensor of their labels"),
        ((X, [{**OBJECTS, "labels": [3]}]), "wanted one set of boxes and a tensor of their labels"),
        ((X, [{**OBJECTS, "others": OBJECTS["boxes"]}]), "got 2 sets of boxes"),
        (
            (X, [{**OBJECTS, "area": torch.ones(1)}]),
            "got 'area' beside boxes, .* because anything else would",
        ),
        ((X, [{**OBJECTS, "masks": MASK}]), "got a Mask beside boxes, wanted one mask for the batch"),
    ],
)
def test_inputs_that_cannot_be_mixed_are_refused(inputs: tuple, message: str) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^inputs: .*{message}"):
        ResizeMix(num_classes=5)(*inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_key_points_are_refused() -> None:
    if not hasattr(tv_tensors, "KeyPoints"):
        pytest.skip("this torchvision has no key points")
    points = tv_tensors.KeyPoints(torch.zeros(4, 2), canvas_size=(16, 16))
    for inputs in ((X, Y, points), (X, [{**OBJECTS, "points": points}])):
        with pytest.raises(MergeMixError, match=r"^inputs: got .*(KeyPoints|points)"):
            ResizeMix(num_classes=5)(*inputs)


@pytest.mark.parametrize("format", ["XYXYXYXY", "XYWHR", "CXCYWHR"])
def test_rotated_boxes_are_refused(format: str) -> None:
    if format not in tv_tensors.BoundingBoxFormat.__members__:
        pytest.skip("this torchvision has no rotated boxes")
    sides = 8 if format == "XYXYXYXY" else 5
    turned = tv_tensors.BoundingBoxes(torch.zeros(1, sides), format=format, canvas_size=(16, 16))
    with pytest.raises(
        MergeMixError, match=rf"^inputs: got boxes of the format {format}, wanted boxes that are not rotated"
    ):
        ResizeMix()(X, [{"boxes": turned, "labels": torch.tensor([3])}])


def test_dense_labels_without_a_mask_class_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^labels: got an int64 tensor .*dense labels must be a tv_tensors.Mask"):
        transform()(X, MASK.as_subclass(Tensor))


def test_labels_that_are_not_in_the_inputs_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^labels_getter: got .*, wanted one of the inputs"):
        transform(labels_getter=lambda inputs: inputs[1].clone())(X, Y)
