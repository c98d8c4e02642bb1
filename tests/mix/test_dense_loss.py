"""DenseSoftTargetLoss is the cross entropy of each pixel, whatever form its target has."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix import DenseSoftTargetLoss, MergeMixError, MixedBatch, Mixup, SoftTargetLoss, functional

from .batches import noise, quick

REDUCTIONS = ["mean", "sum", "none"]
shapes = {
    "batch": st.integers(1, 3),
    "classes": st.integers(2, 5),
    "height": st.integers(1, 4),
    "width": st.integers(1, 4),
    "seed": st.integers(0, 10**6),
}


def maps(batch: int, classes: int, height: int, width: int, seed: int, ignore: int | None = 255) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(classes, (batch, height, width), generator=generator)
    ignored = torch.rand(batch, height, width, generator=generator) < 0.3
    return found if ignore is None else found.masked_fill(ignored, ignore)


def slow(logits: Tensor, shares: Tensor) -> list[list[list[tuple[float, float]]]]:
    """Loss and weight of each pixel, number by number."""
    out = []
    for row, target in zip(logits.double(), shares.double(), strict=True):
        lines = []
        for y in range(row.shape[1]):
            line = []
            for x in range(row.shape[2]):
                values, weights = row[:, y, x].tolist(), target[:, y, x].tolist()
                total = math.log(sum(math.exp(value) for value in values))
                line.append((sum(w * (total - v) for w, v in zip(weights, values, strict=True)), sum(weights)))
            lines.append(line)
        out.append(lines)
    return out


@quick
@given(dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]), **shapes)
def test_soft_maps_give_the_loss_of_a_loop(
    dtype: torch.dtype, batch: int, classes: int, height: int, width: int, seed: int
) -> None:
    logits = noise(batch, classes, height, width, seed=seed, dtype=dtype)
    hard, other = (maps(batch, classes, height, width, seed + number) for number in (0, 1))
    shares = torch.lerp(functional.soft_masks(hard, classes), functional.soft_masks(other, classes), 0.3)
    pixels = torch.tensor(slow(logits, shares), dtype=torch.float64)
    wanted = {"none": pixels[..., 0], "sum": pixels[..., 0].sum()}
    wanted["mean"] = wanted["sum"] / max(pixels[..., 1].sum().item(), 1e-9)
    for reduction in REDUCTIONS:
        loss = DenseSoftTargetLoss(reduction=reduction)(logits, shares)
        assert loss.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(loss.double(), wanted[reduction], rtol=1e-5, atol=1e-5)


@quick
@given(
    dtype=st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.int64]),
    ignore=st.sampled_from([0, 255, -100]),
    four=st.booleans(),
    reduction=st.sampled_from(REDUCTIONS),
    **shapes,
)
def test_class_numbers_give_torchs_cross_entropy(
    dtype: torch.dtype,
    ignore: int,
    four: bool,
    reduction: str,
    batch: int,
    classes: int,
    height: int,
    width: int,
    seed: int,
) -> None:
    logits = noise(batch, classes, height, width, seed=seed).requires_grad_()
    target = maps(batch, classes, height, width, seed, None if dtype == torch.uint8 and ignore < 0 else ignore)
    loss = DenseSoftTargetLoss(ignore, reduction)(logits, (target.unsqueeze(1) if four else target).to(dtype))
    wanted = F.cross_entropy(logits, target, ignore_index=ignore, reduction=reduction)
    torch.testing.assert_close(loss, wanted.nan_to_num(0))  # torch's mean over no pixel is NaN
    if (target != ignore).any():
        ours, theirs = (torch.autograd.grad(value.sum(), logits)[0] for value in (loss, wanted))
        torch.testing.assert_close(ours, theirs)


@quick
@given(reduction=st.sampled_from(REDUCTIONS), **shapes)
def test_class_numbers_and_their_shares_give_the_same(
    reduction: str, batch: int, classes: int, height: int, width: int, seed: int
) -> None:
    logits = noise(batch, classes, height, width, seed=seed)
    target = maps(batch, classes, height, width, seed)
    loss = DenseSoftTargetLoss(reduction=reduction)
    torch.testing.assert_close(loss(logits, functional.soft_masks(target, classes)), loss(logits, target))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_images_of_one_pixel_give_the_loss_of_images(reduction: str) -> None:
    logits, labels = noise(5, 7), torch.tensor([0, 6, 2, 2, 1])
    dense, plain = DenseSoftTargetLoss(reduction=reduction), SoftTargetLoss(reduction=reduction)
    for target in (labels, noise(5, 7, seed=1).softmax(1)):
        got = dense(logits.view(5, 7, 1, 1), target.view(*target.shape, 1, 1))
        torch.testing.assert_close(got.view(plain(logits, target).shape), plain(logits, target))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_batch_is_its_masks(reduction: str) -> None:
    logits, masks = noise(4, 3, 8, 8), maps(4, 3, 8, 8, 0)
    for alphas, given_masks in (((0.0, 1.0), masks), ((1.0, 1.0), functional.soft_masks(masks, 3))):
        mixed = Mixup(*alphas, num_classes=3, mode="elem").mix(
            noise(4, 3, 8, 8), torch.arange(4) % 3, masks=given_masks
        )
        assert isinstance(mixed, MixedBatch)
        loss = DenseSoftTargetLoss(reduction=reduction)
        assert torch.equal(loss(logits, mixed), loss(logits, mixed.masks))


def test_a_blend_with_ignored_pixels_counts_by_what_is_known() -> None:
    # A quarter of the second pixel is known, and it is of class 1; the first is all known.
    shares = torch.tensor([[[[0.5, 0.0]], [[0.5, 0.25]]]])
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3.0)]]]])
    pixels = [math.log(2), -0.25 * math.log(0.75)]
    assert DenseSoftTargetLoss(reduction="none")(logits, shares).flatten().tolist() == pytest.approx(pixels)
    assert DenseSoftTargetLoss()(logits, shares).item() == pytest.approx(sum(pixels) / 1.25)


def test_where_no_pixel_counts_the_loss_is_0_and_so_is_its_gradient() -> None:
    logits = noise(2, 3, 4, 4).requires_grad_()
    for target in (torch.full((2, 4, 4), 255), torch.zeros(2, 3, 4, 4)):
        loss = DenseSoftTargetLoss()(logits, target)
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, logits)[0], torch.zeros_like(logits))


def test_an_impossible_class_costs_nothing_where_it_is_not_wanted() -> None:
    logits = noise(1, 3, 2, 2)
    logits[:, 2] = -float("inf")
    target = torch.tensor([[[0, 1], [1, 255]]])
    wanted = DenseSoftTargetLoss()(logits[:, :2], target)
    assert wanted.isfinite()
    for form in (target, functional.soft_masks(target, 3)):
        torch.testing.assert_close(DenseSoftTargetLoss()(logits, form), wanted)
    assert DenseSoftTargetLoss()(logits, target.masked_fill(target == 0, 2)) == float("inf")


def test_an_ignored_class_does_not_wrap_around() -> None:
    with pytest.raises(MergeMixError, match=r"^target: got numbers from 156 to 156"):
        DenseSoftTargetLoss(-100)(noise(1, 3, 1, 1), torch.full((1, 1, 1), 156, dtype=torch.uint8))


def test_any_number_may_stand_for_ignored() -> None:
    target = torch.tensor([[[0, -(2**31)]]])
    assert DenseSoftTargetLoss(-(2**31), "none")(noise(1, 3, 1, 2), target)[0, 0, 1] == 0


def test_bool_maps_are_two_classes() -> None:
    target, logits = noise(2, 3, 3) > 0, noise(2, 2, 3, 3)
    torch.testing.assert_close(DenseSoftTargetLoss()(logits, target), F.cross_entropy(logits, target.long()))


@pytest.mark.parametrize("soft", [False, True])
def test_each_sample_can_be_looked_at_by_itself(soft: bool) -> None:
    logits, target = noise(3, 4, 2, 5), maps(3, 4, 2, 5, 0)
    target = functional.soft_masks(target, 4) if soft else target
    loss = DenseSoftTargetLoss(reduction="sum")
    alone = torch.vmap(lambda x, y: loss(x.unsqueeze(0), y.unsqueeze(0)))(logits, target)
    each = DenseSoftTargetLoss(reduction="none")(logits, target).sum((1, 2))
    torch.testing.assert_close(alone, each)


def test_a_compiler_traces_it_whole() -> None:
    logits, target = noise(3, 4, 2, 5), maps(3, 4, 2, 5, 0)
    for form in (target, functional.soft_masks(target, 4)):
        loss = DenseSoftTargetLoss()
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(logits, form), loss(logits, form))


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("reduction", {"reduction": "average"}),
        ("reduction", {"reduction": None}),
        ("ignore_index", {"ignore_index": 0.5}),
        ("ignore_index", {"ignore_index": None}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        DenseSoftTargetLoss(**options)


X, Y = noise(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)
WITHOUT = Mixup(1.0, num_classes=3).mix(noise(2, 3, 4, 5), torch.arange(2))


@pytest.mark.parametrize(
    ("argument", "x", "y"),
    [
        ("logits", X[0], Y),
        ("logits", X.long(), Y),
        ("logits", X[:, :1], Y),
        ("logits", [0.0], Y),
        ("target", X, Y[:1]),
        ("target", X, Y[0]),
        ("target", X, Y.transpose(1, 2)),
        ("target", X, Y.unsqueeze(1).expand(-1, 3, -1, -1)),
        ("target", X, Y.float()),
        ("target", X, Y.to(torch.complex64)),
        ("target", X, Y + 3),
        ("target", X, Y - 1),
        ("target", X, None),
        ("target", X, [0]),
        ("target", X, X[:, :2].softmax(1)),
        ("target", X, X.sigmoid() + 0.5),
        ("target", X, -X.softmax(1)),
        ("target", X, X * float("nan")),
        ("sums of target over classes", X, torch.ones_like(X)),
        ("target", X, WITHOUT),
    ],
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_bad_input_is_named(argument: str, x: object, y: object, reduction: str) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        DenseSoftTargetLoss(reduction=reduction)(x, y)
