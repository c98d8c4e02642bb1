"""DenseSoftTargetLoss for each image by itself: vmap, per-sample gradients, weights, compilers, no values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, vmap

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.functional import soft_masks
from timm_mergemix.mix.dense_loss import DenseSoftTargetLoss

from .batches import newer_torch, noise

B, CLASSES, SIZE, IGNORED = 3, 4, 6, 255
IMAGES = noise(B, 3, SIZE, SIZE)


def hard() -> Tensor:
    maps = torch.randint(CLASSES, (B, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    maps[0, 0] = IGNORED
    return maps


TARGETS = {"hard": hard(), "soft": soft_masks(hard(), CLASSES, IGNORED)}
MODEL = nn.Conv2d(3, CLASSES, 1)


def logits() -> Tensor:
    return 3 * noise(B, CLASSES, SIZE, SIZE, seed=1)


def alone(loss: nn.Module) -> Any:
    return lambda x, target: loss(x.unsqueeze(0), target.unsqueeze(0))


@pytest.mark.parametrize("kind", TARGETS)
def test_vmap_gives_the_losses_of_single_images(kind: str) -> None:
    target = TARGETS[kind]
    each = DenseSoftTargetLoss(reduction="none")(logits(), target)
    assert each.shape == (B, SIZE, SIZE)
    torch.testing.assert_close(vmap(alone(DenseSoftTargetLoss(reduction="none")))(logits(), target).squeeze(1), each)
    torch.testing.assert_close(
        vmap(alone(DenseSoftTargetLoss(reduction="sum")))(logits(), target), each.sum(dim=(1, 2))
    )
    counted = (hard() != IGNORED).sum(dim=(1, 2))
    torch.testing.assert_close(vmap(alone(DenseSoftTargetLoss()))(logits(), target), each.sum(dim=(1, 2)) / counted)


@pytest.mark.parametrize("kind", TARGETS)
def test_gradients_of_single_images_are_those_of_a_loop(kind: str) -> None:
    loss, target = DenseSoftTargetLoss(), TARGETS[kind]
    weights = {key: value.detach() for key, value in MODEL.named_parameters()}

    def of_one(weights: dict[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
        return loss(functional_call(MODEL, weights, (image.unsqueeze(0),)), target.unsqueeze(0))

    found = vmap(grad(of_one), in_dims=(None, 0, 0))(weights, IMAGES, target)
    for row in range(B):
        wanted = torch.autograd.grad(loss(MODEL(IMAGES[row : row + 1]), target[row : row + 1]), MODEL.parameters())
        torch.testing.assert_close(tuple(value[row] for value in found.values()), wanted)


@pytest.mark.parametrize("kind", TARGETS)
def test_forward_mode_agrees_with_backward(kind: str) -> None:
    loss, x, direction = DenseSoftTargetLoss(), logits().double(), noise(B, CLASSES, SIZE, SIZE, seed=2).double()
    _, forward = jvp(lambda value: loss(value, TARGETS[kind]), (x,), (direction,))
    torch.testing.assert_close(forward, (grad(lambda value: loss(value, TARGETS[kind]))(x) * direction).sum())


@pytest.mark.parametrize("kind", [*TARGETS, "batch"])
def test_it_compiles_as_one_graph(kind: str) -> None:
    target = TARGETS.get(kind, Mixup(0.0, 1.0, mode="elem").mix(IMAGES, masks=hard()))
    loss, x = DenseSoftTargetLoss(), logits().requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found, wanted = (torch.autograd.grad(each(x, target), x)[0] for each in (compiled, loss))
    torch.testing.assert_close(found, wanted)


@newer_torch
@pytest.mark.parametrize("kind", TARGETS)
def test_it_is_exported_for_any_number_of_images(kind: str) -> None:
    loss, target, count = DenseSoftTargetLoss(), TARGETS[kind], torch.export.Dim("batch")
    program = torch.export.export(loss, (logits(), target), dynamic_shapes=({0: count}, {0: count}))
    torch.testing.assert_close(program.module()(logits()[:2], target[:2]), loss(logits()[:2], target[:2]))


@pytest.mark.parametrize("kind", TARGETS)
def test_tensors_without_values_are_not_asked_for_them(kind: str) -> None:
    with FakeTensorMode() as mode:
        fakes = mode.from_tensor(logits()), mode.from_tensor(TARGETS[kind])
        assert DenseSoftTargetLoss(reduction="none")(*fakes).shape == (B, SIZE, SIZE)
    assert DenseSoftTargetLoss()(logits().to("meta"), TARGETS[kind].to("meta")).shape == ()


def test_a_batch_without_masks_is_refused() -> None:
    batch = Mixup(num_classes=B).mix(IMAGES, torch.arange(B))
    with pytest.raises(MergeMixError, match=r"^target: got a batch without masks"):
        DenseSoftTargetLoss()(logits(), batch)
