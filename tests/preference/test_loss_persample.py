"""PreferenceLoss per image: reductions, weights, vmap, per-sample gradients, compilation and fake tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, vmap

from timm_mergemix import MergeMixError, MergeMixTask, MixedBatch, Mixup, PreferenceLoss, SoftTargetLoss
from timm_mergemix.preference.config import VARIANTS

from ..mix.batches import newer_torch, noise

B, CLASSES = 4, 5
IMAGES = noise(B, 3, 4, 4)
LABELS = torch.tensor([0, 2, 2, 1])  # the two in the middle are partners of the same class, so they are not pairs
IS_PAIR = torch.tensor([True, False, False, True])


def mixed() -> MixedBatch:
    return Mixup(0.8, num_classes=CLASSES, mode="elem").mix(IMAGES, LABELS)


def logits() -> tuple[Tensor, Tensor]:
    return noise(B, CLASSES, seed=1), noise(B, CLASSES, seed=2)


def reference(variant: str) -> tuple[Tensor, Tensor] | None:
    return (noise(B, CLASSES, seed=3), noise(B, CLASSES, seed=4)) if variant == "dpo" else None


def rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.unsqueeze(0) for tensor in tensors)


def compare_one(loss: PreferenceLoss) -> Any:
    """The terms of one pair, without a batch axis."""

    def compare(winner: Tensor, loser: Tensor, label: Tensor, mass: Tensor, *known: Tensor) -> tuple[Tensor, ...]:
        return loss.compare(*rows(winner, loser, label, mass), rows(*known) or None)

    return compare


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reductions_agree(variant: str) -> None:
    batch, known = mixed(), reference(variant)
    mean, total, each = (
        PreferenceLoss(weight=0.5, gamma=2.0, variant=variant, reduction=reduction)(*logits(), batch, known)
        for reduction in ("mean", "sum", "none")
    )
    assert all(term.shape == (B,) for term in each) and all(term.shape == () for term in (*mean, *total))
    torch.testing.assert_close(each.soft_target, SoftTargetLoss(reduction="none")(logits()[1], batch))
    torch.testing.assert_close(each.total, each.soft_target + 0.5 * each.preference)
    assert (each.preference[~IS_PAIR] == 0).all() and (each.preference[IS_PAIR] > 0).all()
    for name in ("reward_margin", "preference_accuracy"):
        assert getattr(each, name).isnan().tolist() == (~IS_PAIR).tolist()
    for name in ("preference", "reward_margin", "preference_accuracy"):
        values = getattr(each, name)[IS_PAIR]
        torch.testing.assert_close(getattr(total, name), values.sum())
        torch.testing.assert_close(getattr(mean, name), values.mean())
    torch.testing.assert_close(total.total, each.total.sum())


def test_sums_over_micro_batches_add_up_to_those_of_the_whole_batch() -> None:
    """Means would not: a lone pair would weigh as much as many."""
    batch, (winner, loser) = mixed(), logits()
    labels, mass, loss = batch.labels, batch.mass, PreferenceLoss(reduction="sum")
    parts = [loss.compare(winner[part], loser[part], labels[part], mass[part]) for part in (slice(1), slice(1, B))]
    for whole, first, second in zip(loss.compare(winner, loser, labels, mass), *parts, strict=True):
        torch.testing.assert_close(first + second, whole)


def test_terms_of_a_batch_without_pairs() -> None:
    for reduction, unknown in (("mean", torch.nan), ("none", torch.nan), ("sum", 0.0)):
        loss = PreferenceLoss(reduction=reduction)
        terms = loss(*logits(), Mixup(0.8, num_classes=CLASSES, prob=0.0).mix(IMAGES, LABELS))
        assert (terms.preference == 0).all() and torch.equal(terms.total, terms.soft_target)
        for term in terms[3:]:
            torch.testing.assert_close(term, torch.full_like(term, unknown), equal_nan=True)
        off = PreferenceLoss(weight=0, reduction=reduction)(None, logits()[1], mixed())
        assert [term.shape for term in off] == [terms.total.shape] * 5
        torch.testing.assert_close(off.reward_margin, torch.full_like(off.reward_margin, unknown), equal_nan=True)


def test_images_can_be_weighted() -> None:
    winner, loser = (x.requires_grad_() for x in logits())
    terms = PreferenceLoss(reduction="none")(winner, loser, mixed())
    (terms.total * torch.tensor([0.0, 1.0, 1.0, 2.0])).sum().backward()
    assert (winner.grad[:3] == 0).all() and (winner.grad[3] != 0).any()
    assert (loser.grad[0] == 0).all() and (loser.grad[1:] != 0).any(dim=1).all()


@pytest.mark.parametrize(("reduction", "own"), [("none", "mean"), ("mean", "none"), ("sum", "mean")])
def test_a_soft_target_with_another_reduction_is_refused(reduction: str, own: str) -> None:
    with pytest.raises(MergeMixError, match=rf'^soft_target: got .* with reduction="{reduction}"'):
        PreferenceLoss(reduction=reduction, soft_target=SoftTargetLoss(reduction=own))
    with pytest.raises(MergeMixError, match=r"^reduction: got 'each', wanted one of"):
        PreferenceLoss(reduction="each")


def test_timms_task_refuses_reduction_none() -> None:
    pytest.importorskip("timm.task")
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES))
    with pytest.raises(MergeMixError, match=r"^loss: got .*none"):
        MergeMixTask(model, Mixup(num_classes=CLASSES), PreferenceLoss(reduction="none"), verbose=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_vmap_gives_the_same_terms_as_reduction_none(variant: str) -> None:
    batch, known = mixed(), reference(variant)
    loss = PreferenceLoss(variant=variant)
    found = vmap(compare_one(loss))(*logits(), batch.labels, batch.mass, *(known or ()))
    each = PreferenceLoss(variant=variant, reduction="none")(*logits(), batch, known)
    for one, wanted in zip(found, each[2:], strict=True):
        torch.testing.assert_close(one, wanted, equal_nan=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_per_sample_gradients_match_a_loop(variant: str) -> None:
    model, batch, known = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES)), mixed(), reference(variant) or ()
    weights = {key: value.detach() for key, value in model.named_parameters()}
    compare = compare_one(PreferenceLoss(variant=variant))

    def of_one(weights: dict[str, Tensor], winner: Tensor, loser: Tensor, *others: Tensor) -> Tensor:
        both = functional_call(model, weights, (torch.stack([winner, loser]),))
        return compare(both[0], both[1], *others)[0]

    inputs = (batch.raw, batch.images, batch.labels, batch.mass, *known)
    found = vmap(grad(of_one), in_dims=(None, *[0] * len(inputs)))(weights, *inputs)
    for row in range(B):
        value = of_one(dict(model.named_parameters()), *(part[row] for part in inputs))
        torch.testing.assert_close(
            tuple(part[row] for part in found.values()), torch.autograd.grad(value, model.parameters())
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_mode_agrees_with_backward(variant: str) -> None:
    batch, known = mixed(), reference(variant)
    (winner, loser), direction = (x.double() for x in logits()), noise(B, CLASSES, seed=5).double()

    def total(x: Tensor) -> Tensor:
        return PreferenceLoss(variant=variant)(x, loser, batch, known).total

    _, forward = jvp(total, (winner,), (direction,))
    torch.testing.assert_close(forward, (grad(total)(winner) * direction).sum())


@newer_torch
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_compiles_as_one_graph(variant: str) -> None:
    batch, known, loss = mixed(), reference(variant), PreferenceLoss(variant=variant)
    winner, loser = (x.requires_grad_() for x in logits())
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found, wanted = (each(winner, loser, replace(batch), known) for each in (compiled, loss))
    torch.testing.assert_close(tuple(found), tuple(wanted))
    gradients = [torch.autograd.grad(terms.total, (winner, loser)) for terms in (found, wanted)]
    torch.testing.assert_close(*gradients)


class Compare(nn.Module):
    """`PreferenceLoss.compare` as a module that can be exported: tensors in, tensors out."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.loss = PreferenceLoss(variant=variant)

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        return self.loss.compare(*args[:4], args[4:] or None)


@newer_torch
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_can_be_exported_with_a_dynamic_batch_size(variant: str) -> None:
    batch, known, count = mixed(), reference(variant), torch.export.Dim("batch")
    inputs = (*logits(), batch.labels, batch.mass, *(known or ()))
    module = Compare(variant)
    program = torch.export.export(module, inputs, dynamic_shapes=(({0: count},) * len(inputs),))
    fewer = tuple(value[1:] for value in inputs)
    torch.testing.assert_close(program.module()(*fewer), module(*fewer))


@pytest.mark.parametrize("variant", VARIANTS)
def test_fake_tensors_are_accepted(variant: str) -> None:
    batch, known = mixed(), reference(variant)
    inputs = (*logits(), batch.labels, batch.mass)
    with FakeTensorMode() as mode:
        fakes = None if known is None else tuple(map(mode.from_tensor, known))
        terms = PreferenceLoss(variant=variant, reduction="none").compare(*map(mode.from_tensor, inputs), fakes)
        assert [term.shape for term in terms] == [(B,)] * 3
