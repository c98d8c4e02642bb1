"""The pure functions of mixing work under torch.compile, vmap, fake tensors and forward-mode derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, jvp, vmap

from timm_mergemix import functional as F

from .mix.batches import newer_interpolation, noise

B, SIZE, PATCHES, CLASSES = 4, 8, 4, 5
IMAGES, PARTNERS = noise(B, 3, SIZE, SIZE), noise(B, 3, SIZE, SIZE, seed=1)
RATIO = torch.tensor([0.0, 0.3, 0.5, 1.0])
SALIENCY = noise(B, PATCHES, PATCHES).abs()
BOXES = torch.tensor([[0, 4, 2, 8], [1, 1, 0, 0], [0, 8, 0, 8], [3, 5, 3, 5]])
MAPS = torch.randint(CLASSES, (B, SIZE, SIZE), generator=torch.Generator().manual_seed(0))


def box_mask(boxes: Tensor) -> Tensor:
    return F.box_mask(boxes, SIZE, SIZE)


def expand_mask(mask: Tensor) -> Tensor:
    return F.expand_mask(mask, SIZE, SIZE)


def count_patches(lam: Tensor) -> Tensor:
    return F.count_patches(lam, PATCHES**2)


def soft_masks(maps: Tensor) -> Tensor:
    return F.soft_masks(maps, CLASSES)


def mix_targets(labels: Tensor, index: Tensor, ratio: Tensor) -> Tensor:
    return F.mix_targets(labels, index, ratio, CLASSES, 0.1)


MASK = F.box_mask(BOXES, SIZE, SIZE)
INDEX = torch.tensor([3, 2, 1, 0])
Case = tuple[Callable[..., Tensor], tuple[Tensor, ...]]
# Functions that treat each row independently.
ROWS: dict[str, Case] = {
    "mix_images": (F.mix_images, (IMAGES, PARTNERS, MASK)),
    "blend_images": (F.blend_images, (IMAGES, PARTNERS, RATIO)),
    "box_mask": (box_mask, (BOXES,)),
    "expand_mask": (expand_mask, (SALIENCY > 0.5,)),
    "top_mask": (F.top_mask, (SALIENCY, torch.tensor([0, 3, 7, 16]), noise(B, PATCHES**2))),
    "count_patches": (count_patches, (RATIO.double(),)),
    "area_ratio": (F.area_ratio, (MASK,)),
    "attention_ratio": (F.attention_ratio, (SALIENCY, SALIENCY.flip(0), SALIENCY > 0.5)),
    "soft_masks": (soft_masks, (MAPS,)),
}
ALL: dict[str, Case] = ROWS | {
    "gaussian_ratio": (F.gaussian_ratio, (RATIO, noise(B))),
    "mix_targets of labels": (mix_targets, (torch.tensor([0, 4, 2, 2]), INDEX, RATIO)),
    "mix_targets of rows": (mix_targets, (noise(B, CLASSES).softmax(1), INDEX, RATIO)),
}
SMOOTH = ["mix_images", "blend_images", "attention_ratio"]


@pytest.mark.parametrize("name", ALL)
def test_each_function_compiles_as_one_graph(name: str) -> None:
    function, inputs = ALL[name]
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), function(*inputs))


@pytest.mark.parametrize("name", ROWS)
def test_vmap_gives_what_single_rows_give(name: str) -> None:
    function, inputs = ROWS[name]
    found = vmap(lambda *row: function(*(value.unsqueeze(0) for value in row)).squeeze(0))(*inputs)
    torch.testing.assert_close(found, function(*inputs))


@pytest.mark.parametrize("name", ALL)
def test_tensors_without_values_are_accepted(name: str) -> None:
    function, inputs = ALL[name]
    wanted = function(*inputs)
    with FakeTensorMode() as mode:
        fake = function(*map(mode.from_tensor, inputs))
    for made in (fake, function(*(value.to("meta") for value in inputs))):
        assert (made.shape, made.dtype) == (wanted.shape, wanted.dtype)


@pytest.mark.parametrize("name", [*SMOOTH, pytest.param("paste_resized", marks=newer_interpolation)])
def test_forward_mode_and_backward_derivatives_agree(name: str) -> None:
    function, (first, *others) = ALL.get(name, (F.paste_resized, (IMAGES, PARTNERS, BOXES)))
    direction = noise(*first.shape, seed=7)

    def total(x: Tensor) -> Tensor:
        return function(x, *others).square().sum()

    _, forward = jvp(total, (first,), (direction,))
    torch.testing.assert_close(forward, (grad(total)(first) * direction).sum())


def test_soft_masks_can_be_made_inside_a_gradient() -> None:
    def of_one(x: Tensor, maps: Tensor) -> Tensor:
        return (x * F.soft_masks(maps.unsqueeze(0), CLASSES)).sum()

    found = vmap(grad(of_one))(noise(B, CLASSES, SIZE, SIZE), MAPS)
    torch.testing.assert_close(found, F.soft_masks(MAPS, CLASSES))
