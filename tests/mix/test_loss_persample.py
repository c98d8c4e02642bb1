"""SoftTargetLoss for each image by itself: weights, vmap, per-sample gradients, forward mode, compilers, no values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, vmap

from timm_mergemix import MergeMixError, MixedBatch, Mixup, SoftTargetLoss

from .batches import newer_torch, noise

B, CLASSES = 4, 5
IMAGES, LABELS = noise(B, 3, 4, 4), torch.tensor([0, 4, 2, 2])
SOFT = noise(B, CLASSES, seed=3).softmax(1)
TARGETS = {"labels": LABELS, "soft": SOFT}
CASES = [(name, bce) for name in TARGETS for bce in (False, True)]


def logits() -> Tensor:
    return 3 * noise(B, CLASSES, seed=1)


def mixed(rows: bool = False) -> MixedBatch:
    return Mixup(0.8, 1.0, num_classes=CLASSES, mode="elem").mix(IMAGES, SOFT if rows else LABELS)


def alone(loss: nn.Module) -> Any:
    """The loss of one image, without an axis for the batch."""
    return lambda x, target: loss(x.unsqueeze(0), target.unsqueeze(0))


@pytest.mark.parametrize(("name", "bce"), CASES)
def test_vmap_gives_the_losses_of_single_images(name: str, bce: bool) -> None:
    target = TARGETS[name]
    each = SoftTargetLoss(0.1, bce=bce, reduction="none")(logits(), target)
    for reduction in ("mean", "sum"):
        loss = alone(SoftTargetLoss(0.1, bce=bce, reduction=reduction))
        torch.testing.assert_close(vmap(loss)(logits(), target), each)


@pytest.mark.parametrize(("name", "bce"), CASES)
def test_gradients_of_single_images_are_those_of_a_loop(name: str, bce: bool) -> None:
    model, target = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES)), TARGETS[name]
    weights = {key: value.detach() for key, value in model.named_parameters()}
    loss = SoftTargetLoss(0.1, bce=bce)

    def of_one(weights: dict[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
        return loss(functional_call(model, weights, (image.unsqueeze(0),)), target.unsqueeze(0))

    found = vmap(grad(of_one), in_dims=(None, 0, 0))(weights, IMAGES, target)
    for row in range(B):
        wanted = torch.autograd.grad(loss(model(IMAGES[row : row + 1]), target[row : row + 1]), model.parameters())
        torch.testing.assert_close(tuple(value[row] for value in found.values()), wanted)


def test_gradients_of_single_mixes() -> None:
    """The targets of a batch are rows of tensors; the batch itself knows partners, which one image has not."""
    batch, x = mixed(), logits()
    found = vmap(grad(alone(SoftTargetLoss())))(x, batch.targets)
    x.requires_grad_()
    (whole,) = torch.autograd.grad(SoftTargetLoss(reduction="sum")(x, batch), x)
    torch.testing.assert_close(found, whole)


@pytest.mark.parametrize("bce", [False, True])
@pytest.mark.parametrize("kind", ["labels", "soft", "batch"])
def test_weights_of_images(kind: str, bce: bool) -> None:
    target = mixed() if kind == "batch" else TARGETS[kind]
    weights = torch.tensor([0.0, 1.0, 2.0, 0.5])
    each = SoftTargetLoss(bce=bce, reduction="none")(logits(), target)
    assert each.shape == (B,)
    x = logits().requires_grad_()
    (weights * SoftTargetLoss(bce=bce, reduction="none")(x, target)).sum().backward()
    assert (x.grad[0] == 0).all() and (x.grad[1:] != 0).any(dim=1).all()
    torch.testing.assert_close(SoftTargetLoss(bce=bce)(logits(), target), each.mean())


@pytest.mark.parametrize("bce", [False, True])
@pytest.mark.parametrize("kind", ["labels", "soft", "batch", "rows"])
def test_forward_mode_agrees_with_backward(kind: str, bce: bool) -> None:
    target = {"batch": mixed(), "rows": mixed(rows=True)}.get(kind, TARGETS.get(kind))
    loss, x, direction = SoftTargetLoss(0.1, bce=bce), logits().double(), noise(B, CLASSES, seed=2).double()
    _, forward = jvp(lambda value: loss(value, target), (x,), (direction,))
    torch.testing.assert_close(forward, (grad(lambda value: loss(value, target))(x) * direction).sum())


@pytest.mark.parametrize("bce", [False, True])
@pytest.mark.parametrize("kind", ["labels", "soft", "batch", "rows"])
def test_it_compiles_as_one_graph(kind: str, bce: bool) -> None:
    target = {"batch": mixed(), "rows": mixed(rows=True)}.get(kind, TARGETS.get(kind))
    loss = SoftTargetLoss(0.1, bce=bce)
    wanted = loss(logits(), target)
    torch._dynamo.reset()
    fresh = replace(target) if isinstance(target, MixedBatch) else target  # its targets are not made yet
    torch.testing.assert_close(torch.compile(loss, fullgraph=True, backend="eager")(logits(), fresh), wanted)
    if isinstance(fresh, MixedBatch):
        assert "targets" not in fresh.__dict__  # what a compiler traced is not kept


def test_gradients_compile_as_one_graph() -> None:
    loss, batch, x = SoftTargetLoss(0.1), mixed(), logits().requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found, wanted = (torch.autograd.grad(each(x, batch), x)[0] for each in (compiled, loss))
    torch.testing.assert_close(found, wanted)


@newer_torch
@pytest.mark.parametrize(("name", "bce"), CASES)
def test_it_is_exported_for_any_number_of_images(name: str, bce: bool) -> None:
    loss, target, count = SoftTargetLoss(0.1, bce=bce), TARGETS[name], torch.export.Dim("batch")
    program = torch.export.export(loss, (logits(), target), dynamic_shapes=({0: count}, {0: count}))
    found = program.module()(logits()[:3], target[:3])
    torch.testing.assert_close(found, loss(logits()[:3], target[:3]))


@pytest.mark.parametrize(("name", "bce"), CASES)
def test_tensors_without_values_are_not_asked_for_them(name: str, bce: bool) -> None:
    with FakeTensorMode() as mode:
        fakes = mode.from_tensor(logits()), mode.from_tensor(TARGETS[name])
        assert SoftTargetLoss(bce=bce, reduction="none")(*fakes).shape == (B,)
    metas = logits().to("meta"), TARGETS[name].to("meta")
    assert SoftTargetLoss(bce=bce)(*metas).shape == ()


def test_values_are_still_looked_at_where_there_are_some() -> None:
    wrong = LABELS + 1
    with pytest.raises(MergeMixError, match=r"^target: got labels from 1 to 5"):
        grad(lambda x: SoftTargetLoss()(x, wrong))(logits())
    with pytest.raises(MergeMixError, match=r"^target: got rows of numbers from"):
        grad(lambda x: SoftTargetLoss()(x, 2 * SOFT + 1))(logits())


def test_a_batch_without_labels_is_refused() -> None:
    batch = Mixup(0.0, 1.0).mix(IMAGES, masks=torch.zeros(B, 4, 4, dtype=torch.long))
    for bce in (False, True):
        with pytest.raises(MergeMixError, match=r"^target: got a batch without labels"):
            SoftTargetLoss(bce=bce)(logits(), batch)
    with pytest.raises(MergeMixError, match=r"^labels: got None"):
        _ = batch.targets
