"""A valid call of each mixer and transform, with a check of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import timm_mergemix as mm
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend
from timm_mergemix.mix.draw import group_rows, numpy_rng

from ..mix.batches import mergemix as fixed_mergemix
from .case import Case, agrees, between, d, f, i, require, spread
from .models import encoder

__all__ = ["MIXERS", "TRANSFORMS", "is_mix"]

# Options that transforms.MergeMix does not take, because it only does MergeMix.
_NOT_THERE = {
    "mergemix_alpha",
    "mixup_alpha",
    "cutmix_alpha",
    "cutmix_minmax",
    "mergemix_prob",
    "switch_prob",
    "correct_lam",
}


def _batch() -> dict[str, Any]:
    return {"images": f(4, 3, 32, 32), "labels": torch.tensor([0, 3, 1, 2])}


def is_mix(got: Any, images: Tensor, labels: Any, **_: Any) -> None:
    """A mixed batch holds pixels of two images, shares that sum to 1, and only finite numbers."""
    require(isinstance(got, mm.MixedBatch), "no MixedBatch")
    require(got.images.shape == images.shape and got.images.dtype == images.dtype, "images of another kind")
    require(got.ratio.shape == (len(images),) and got.ratio.dtype == torch.float32, "ratio of another kind")
    require(type(got.images) is Tensor, f"images that are a {type(got.images).__name__}")
    if got.images.is_meta:
        return
    between(got.ratio, 0, 1, "a ratio")
    if images.is_floating_point() and d(images).abs().max() > 1e38:  # a blend of two large values may overflow
        return
    require(bool(d(got.images).isfinite().all()), "a pixel that is not finite")
    partners = d(images)[got.index]
    own = d(images)
    slack = 16 * torch.finfo(images.dtype).eps * (1 + own.abs().max()) if images.is_floating_point() else 1
    resized = "resizemix" in got.kind
    low = torch.minimum(own, partners.amin(dim=(2, 3), keepdim=True) if resized else partners)
    high = torch.maximum(own, partners.amax(dim=(2, 3), keepdim=True) if resized else partners)
    inside = (d(got.images) >= low - slack) & (d(got.images) <= high + slack)
    require(bool(inside.all()), "a pixel that is not between both")
    if labels is not None:
        _are_targets(got.targets, len(images), labels)


def _are_targets(targets: Tensor, batch: int, labels: Tensor) -> None:
    require(targets.ndim == 2 and len(targets) == batch, "targets of another shape")
    between(targets, 0, 1, "a target")
    if labels.ndim == 1 and targets.shape[1] > 1:
        agrees(targets.sum(dim=1), torch.ones(batch, dtype=torch.float64), 1e-5)


def _options(**own: Any) -> dict[str, Any]:
    shared = {"num_classes": 5, "prob": 1.0, "mode": "pair", "label_smoothing": 0.1, "multi_label": False}
    return {**shared, "generator": None, "validate": None, **own}


def _mixing(name: str) -> Callable[..., Any]:
    """Makes a mixer from the options and calls it with the other arguments."""

    def call(**given: Any) -> Any:
        inputs = {key: given.pop(key) for key in ("images", "labels", "saliency", "masks") if key in given}
        mixer = getattr(mm, name)(**given)
        return mixer.mix(**inputs)

    return call


def _blends() -> list[Any]:
    return [(MixupBlend(1.0), 0.5), (CutMixBlend(1.0), 0.5)]


def _mergemix_options() -> dict[str, Any]:
    return _options(
        mergemix_alpha=1.0,
        mixup_alpha=0.8,
        cutmix_alpha=1.0,
        cutmix_minmax=None,
        mergemix_prob=0.8,
        switch_prob=0.5,
        correct_lam=True,
        ratio_mode="attention",
        select="own",
        saliency_r=("keep", 0.5),
        saliency_scale=1.0,
        layer=None,
        divide=True,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.2, 0.2, 0.2),
        encoder_mean=(0.5, 0.5, 0.5),
        encoder_std=(0.2, 0.2, 0.2),
    )


def _created(**given: Any) -> Any:
    inputs = {key: given.pop(key) for key in ("images", "labels")}
    return mm.create_mixer(**given).mix(**inputs)


def _drawn(rng: Any, groups: Any, alpha: Any) -> Tensor:
    return torch.as_tensor(mm.Draw(rng, groups).beta(alpha))


class _Own:
    """A user's own blend, which returns the values that it was made with."""

    name = "own"

    def __init__(self, **given: Any) -> None:
        self.given = given

    def __call__(self, pairs: Any, draw: Any) -> Any:
        return mm.Blend(**self.given)


def _blended(**given: Any) -> Any:
    return mm.Mixer([(_Own(**given), 1.0)], num_classes=5).mix(**_batch())


def _blend() -> dict[str, Any]:
    return {
        "images": _batch()["images"].clone(),
        "ratio": torch.ones(4),
        "mask": torch.ones(4, 1, 32, 32, dtype=torch.bool),
        "saliency": spread(4, 2, 2),
        "measured": None,
        "paste": None,
    }


def _is_kept(got: Any, **_: Any) -> None:
    require(type(got.images) is Tensor, "images of a kind of their own")
    between(got.ratio, 0, 1, "a ratio")


def _pasted(**given: Any) -> Any:
    boxes = torch.tensor([[4, 8, 4, 8]]).expand(4, -1)
    blend = {**_blend(), "mask": mm.functional.box_mask(boxes, 32, 32), "paste": mm.Paste(**given)}
    return mm.Mixer([(_Own(**blend), 1.0)], num_classes=5).mix(**_batch(), masks=i(3, 4, 32, 32)).masks


MIXERS = {
    "Paste": Case(
        _pasted,
        lambda: {"boxes": torch.tensor([[4, 8, 4, 8]]).repeat(4, 1), "resized": True},
        lambda got, **_: require(got.shape == (4, 32, 32) and not got.is_floating_point(), "other masks"),
        ("own",),
    ),
    "Mixup": Case(
        _mixing("Mixup"),
        lambda: {
            **_options(mixup_alpha=0.8, cutmix_alpha=1.0, cutmix_minmax=(0.2, 0.8), switch_prob=0.5, correct_lam=True),
            **_batch(),
        },
        is_mix,
    ),
    "ResizeMix": Case(_mixing("ResizeMix"), lambda: {**_options(scale=(0.1, 0.8)), **_batch()}, is_mix),
    "MergeMix": Case(
        _mixing("MergeMix"), lambda: {"encoder": encoder(), **_mergemix_options(), **_batch()}, is_mix, ("saliency_r",)
    ),
    "Mixer": Case(_mixing("Mixer"), lambda: {"blends": _blends(), **_options(), **_batch()}, is_mix),
    "Mixer with rows": Case(
        lambda **given: fixed_mergemix(num_classes=None, multi_label=False).mix(**given),
        lambda: {"images": f(4, 3, 32, 32).double(), "labels": f(4, 5).softmax(dim=1), "saliency": spread(4, 2, 2)},
        is_mix,
    ),
    "Mixer with masks": Case(
        lambda **given: mm.Mixup(0.0, 1.0, num_classes=5).mix(**given),
        lambda: {"images": i(256, 4, 3, 16, 16).byte(), "labels": i(5, 4), "masks": i(3, 4, 16, 16)},
        is_mix,
    ),
    "create_mixer": Case(
        _created, lambda: {"name": "cutmix", **_options(correct_lam=True), **_batch()}, is_mix, ("create_mixer",)
    ),
    "Draw": Case(
        _drawn,
        lambda: {"rng": numpy_rng(), "groups": group_rows("pair", 4), "alpha": 1.0},
        lambda got, **_: between(got, 0, 1, "a share"),
    ),
    "Blend": Case(
        _blended,
        _blend,
        _is_kept,
        ("own",),
    ),
}


def _transformed(name: str) -> Callable[..., Any]:
    def call(**given: Any) -> Any:
        inputs = given.pop("inputs")
        transform = getattr(mm.transforms, name)(**given)
        return transform(*inputs) if type(inputs) is tuple else transform(inputs)

    return call


def _of_transform(got: Any, inputs: Any, **_: Any) -> None:
    """The result has the structure of the inputs, with images and targets of the same kind."""
    require(isinstance(got, type(inputs)) and len(got) == len(inputs), "another structure")
    images, labels = inputs
    require(got[0].shape == images.shape and got[0].dtype == images.dtype, "images of another kind")
    require(type(got[0]) is type(images.detach()), f"a {type(got[0]).__name__} of a {type(images).__name__}")
    if not got[0].is_meta and d(images).abs().max() < 1e38:
        require(bool(d(got[0]).isfinite().all()), "a pixel that is not finite")
        _are_targets(got[1], len(images), labels)


def _inputs() -> dict[str, Any]:
    return {**_options(), "labels_getter": "default", "inputs": tuple(_batch().values())}


TRANSFORMS = {
    "transforms.MergeMix": Case(
        _transformed("MergeMix"),
        lambda: {
            "encoder": encoder(),
            **{name: value for name, value in _mergemix_options().items() if name not in _NOT_THERE},
            "alpha": 1.0,
            "labels_getter": "default",
            "inputs": tuple(_batch().values()),
        },
        _of_transform,
        ("images", "labels"),
        ("labels_getter",),
    ),
    "transforms.Mixup": Case(
        _transformed("Mixup"),
        lambda: {**_inputs(), "alpha": 1.0},
        _of_transform,
        ("images", "labels"),
        ("labels_getter",),
    ),
    "transforms.CutMix": Case(
        _transformed("CutMix"),
        lambda: {**_inputs(), "alpha": 1.0, "cutmix_minmax": None, "correct_lam": True},
        _of_transform,
        ("images", "labels"),
        ("labels_getter",),
    ),
    "transforms.ResizeMix": Case(
        _transformed("ResizeMix"),
        lambda: {**_inputs(), "scale": (0.1, 0.8)},
        _of_transform,
        ("images", "labels"),
        ("labels_getter",),
    ),
}
