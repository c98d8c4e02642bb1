"""Finds images, labels, masks and boxes in nested tuples, lists and dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from numbers import Number
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from ..errors import Words, describe, with_article, wrong

__all__ = ["Found", "Objects", "Place", "find_inputs", "find_labels", "replaced"]

CORNERS = tuple(tv_tensors.BoundingBoxFormat[name] for name in ("XYXY", "XYWH", "CXCYWH"))

ONE_MASK = "one mask for the batch; masks of single objects cannot be mixed"

# The keys and indices that lead to a value. One tensor may be in several places.
Place = tuple[Any, ...]


class Objects(NamedTuple):
    """The places of the objects of one image.

    Attributes:
        boxes: The place of the boxes.
        labels: The place of the boxes' labels.
    """

    boxes: Place
    labels: Place


@dataclass(frozen=True)
class Found:
    """The places of everything that a batch transform mixes.

    Attributes:
        leaves: Every value in the inputs, by its place.
        images: The place of the images (B, C, H, W).
        labels: The places of the images' labels; may be empty.
        masks: The place of the mask of the batch, or None.
        objects: The boxes of each image and their labels; may be empty.
    """

    leaves: Mapping[Place, Any]
    images: Place
    labels: tuple[Place, ...]
    masks: Place | None
    objects: tuple[Objects, ...]


def find_inputs(whole: Any, labels_of: Callable[[Any], Any]) -> Found:
    """Finds everything in the inputs that has to be mixed.

    Args:
        whole: The inputs.
        labels_of: A function of the inputs that returns the labels among them.

    Raises:
        MergeMixError: If the inputs hold no batch of images, more than one, or something that would stay unmixed.
    """
    leaves = dict(_leaves(whole))
    objects = tuple(_objects(leaves))
    masks = [place for place, leaf in leaves.items() if isinstance(leaf, tv_tensors.Mask)]
    of_objects = {place for each in objects for place in each}
    labels = _find_labels(whole, labels_of, leaves, bool(masks or objects))
    labels = tuple(place for place in labels if place not in of_objects)
    taken = {*labels, *of_objects}
    images = _find_images(leaves, taken)
    if len(masks) > 1:
        raise wrong("inputs", Words(f"{len(masks)} masks"), ONE_MASK)
    _refuse_unmixed(leaves, {images, *taken, *masks}, leaves[images], objects)
    return Found(leaves, images, labels, masks[0] if masks else None, objects)


def find_labels(inputs: Any) -> Any:
    """Returns the labels: the second input, or an entry of a dictionary."""
    if isinstance(inputs, (tuple, list)):
        inputs = inputs[1] if len(inputs) > 1 else None
    if isinstance(inputs, Mapping):
        name = _named_label(inputs)
        return None if name is None else inputs[name]
    return inputs


def replaced(inputs: Any, new: Mapping[Place, Any], place: Place = ()) -> Any:
    """Returns the same structure with the values at some places replaced."""
    if isinstance(inputs, Mapping):
        parts = {name: replaced(part, new, (*place, name)) for name, part in inputs.items()}
        if not isinstance(inputs, MutableMapping):
            return parts
        out = copy.copy(inputs)  # keeps its class, whatever arguments that class takes
        out.update(parts)
        return out
    if isinstance(inputs, (tuple, list)):
        values = [replaced(part, new, (*place, number)) for number, part in enumerate(inputs)]
        return type(inputs)(*values) if hasattr(inputs, "_fields") else type(inputs)(values)
    return new.get(place, inputs)


def _find_labels(
    whole: Any, labels_of: Callable[[Any], Any], leaves: Mapping[Place, Any], dense: bool
) -> tuple[Place, ...]:
    """The places of the images' labels; with ``dense`` labels in the inputs there may be none."""
    labels = labels_of(whole)
    if labels is whole or not isinstance(labels, Tensor) or isinstance(labels, tv_tensors.TVTensor):
        numbers = isinstance(labels, (list, tuple)) and all(isinstance(label, Number) for label in labels)
        if not dense or (numbers and labels):
            raise wrong("inputs", [describe(leaf) for leaf in leaves.values()], "inputs with a tensor of labels")
        return ()
    places = tuple(place for place, leaf in leaves.items() if leaf is labels)
    if not places:
        raise wrong("labels_getter", labels, "one of the inputs")
    if labels.ndim > 2:
        raise wrong(
            "labels", labels, "a tensor of shape (B,) or (B, num_classes); dense labels must be a tv_tensors.Mask"
        )
    return places


def _named_label(inputs: Mapping[Any, Any]) -> Any:
    names = [name for name in inputs if isinstance(name, str) and "label" in name.lower()]
    return min(names, key=lambda name: name.lower() != "labels") if names else None


def _find_images(leaves: Mapping[Place, Any], taken: set[Place]) -> Place:
    """The place of the batch of images: a tv_tensors.Image, or else the first plain tensor that is not a label."""
    for leaf in leaves.values():
        if isinstance(leaf, tv_tensors.Video):
            wanted = "images of shape (B, C, H, W); video.flatten(1, 2) mixes all frames of a clip by the same mask"
            raise wrong("inputs", Words(f"a Video of shape {tuple(leaf.shape)}"), wanted)
    wrapped = [place for place, leaf in leaves.items() if isinstance(leaf, tv_tensors.Image)]
    plain = [place for place, leaf in leaves.items() if type(leaf) is Tensor and place not in taken]
    images = wrapped or plain[:1]
    if len(images) != 1:
        wanted = "labels together with one batch of images"
        raise wrong("inputs", [describe(leaf) for leaf in leaves.values()], wanted)
    return images[0]


def _refuse_unmixed(
    leaves: Mapping[Place, Any], mixed: set[Place], images: Tensor, objects: tuple[Objects, ...]
) -> None:
    """Raises if something that belongs to the images would stay unmixed."""
    containers = {each.boxes[:-1] for each in objects}
    for place, leaf in leaves.items():
        in_objects = place[:-1] in containers
        if in_objects and isinstance(leaf, tv_tensors.Mask):
            raise wrong(
                "inputs",
                Words("a Mask beside boxes"),
                "one mask for the batch; masks of single objects cannot be mixed",
            )
        if place in mixed:
            continue
        if in_objects and isinstance(leaf, Tensor) and leaf.ndim:
            got = Words(f"{place[-1]!r} beside boxes, {describe(leaf)}")
            raise wrong("inputs", got, "only boxes and their labels, because anything else would stay unmixed")
        if isinstance(leaf, (tv_tensors.TVTensor, Image.Image)):
            raise wrong(
                "inputs",
                Words(with_article(type(leaf).__name__)),
                "only images, labels, masks and boxes, because anything else would stay unmixed",
            )
        if isinstance(leaf, Tensor) and _is_plain_map(leaf, images):
            got = Words(f"{describe(leaf)}, the size of the images")
            raise wrong("inputs", got, "a tv_tensors.Mask, because a plain tensor would stay unmixed")


def _is_plain_map(leaf: Tensor, images: Tensor) -> bool:
    """Whether a plain tensor looks like a mask of class numbers, as collate functions return them."""
    if leaf.is_floating_point() or leaf.ndim not in (3, 4) or images.ndim != 4:
        return False
    one = leaf.ndim == 3 or leaf.shape[1] == 1
    return one and len(leaf) == len(images) and leaf.shape[-2:] == images.shape[-2:]


def _objects(leaves: Mapping[Place, Any]) -> Iterator[Objects]:
    """Yields the boxes and labels of each dictionary that has both, in the order of the images."""
    for place, leaf in leaves.items():
        if not isinstance(leaf, tv_tensors.BoundingBoxes):
            continue
        if not place or isinstance(place[-1], int):
            raise wrong("inputs", Words("BoundingBoxes in a list"), "a dictionary of boxes and labels for each image")
        beside = {other[-1]: value for other, value in leaves.items() if other[:-1] == place[:-1]}
        name = _named_label(beside)
        sets = sum(isinstance(value, tv_tensors.BoundingBoxes) for value in beside.values())
        if sets > 1 or name is None or type(beside[name]) is not Tensor:
            got = Words(f"{sets} sets of boxes in a dictionary with {list(beside)}")
            raise wrong("inputs", got, "one set of boxes and a tensor of their labels")
        if leaf.format not in CORNERS:
            raise wrong("inputs", Words(f"boxes of the format {leaf.format.name}"), "boxes that are not rotated")
        yield Objects(place, (*place[:-1], name))


def _leaves(inputs: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yields every value in nested tuples, lists and dictionaries, with its place."""
    if isinstance(inputs, Mapping):
        parts = list(inputs.items())
    elif isinstance(inputs, (tuple, list)):
        parts = list(enumerate(inputs))
    else:
        yield place, inputs
        return
    for key, part in parts:
        yield from _leaves(part, (*place, key))
