"""Inputs on which mixing went wrong in silence elsewhere: refused by name, or right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

import timm_mergemix as mm
from timm_mergemix import MergeMixError, functional

from .hostile.case import f, i
from .hostile.models import encoder
from .mix.batches import newer_interpolation

NAN = math.nan
IMAGES, LABELS = f(4, 3, 32, 32), torch.tensor([0, 3, 1, 2])
FACES: dict[str, Callable[..., Any]] = {
    "MergeMix": lambda **options: mm.MergeMix(encoder(), **options),
    "Mixup": mm.Mixup,
    "CutMix": lambda **options: mm.create_mixer("cutmix", **options),
    "ResizeMix": mm.ResizeMix,
    "transforms.MergeMix": lambda **options: mm.transforms.MergeMix(encoder(), **options),
    "transforms.Mixup": mm.transforms.Mixup,
    "transforms.CutMix": mm.transforms.CutMix,
    "transforms.ResizeMix": mm.transforms.ResizeMix,
}
OWN_FACES = [name for name in FACES if not name.startswith("transforms.")]


def row(value: float) -> Tensor:
    """Rows of which the first number is another one."""
    rows = torch.full((4, 5), 0.2)
    rows[0, 0] = value
    return rows


def plan(**changed: Callable[[Tensor], Tensor]) -> Any:
    """A plan with changed parts."""
    right = functional.bipartite_matching(f(1, 9, 4), 2)
    return right._replace(**{name: change(getattr(right, name)) for name, change in changed.items()})


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    "labels",
    [LABELS[:, None] + 2, torch.tensor([[1, -1], [2, 3], [0, -1], [4, 1]]), (LABELS[:, None] + 2).to(torch.uint16)],
    ids=["class numbers in a column", "padded lists of them", "of uint16"],
)
def test_class_numbers_are_not_taken_for_rows(face: str, labels: Tensor) -> None:
    with pytest.raises(MergeMixError, match=r"^labels: got rows of numbers from .* class numbers must have the shape"):
        FACES[face](num_classes=None)(IMAGES, labels)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("value", [-1.0, 2.0, NAN])
def test_rows_that_are_no_shares_are_refused(face: str, value: float) -> None:
    with pytest.raises(MergeMixError, match=r"^labels: got rows of numbers from"):
        FACES[face](num_classes=5)(IMAGES, row(value))


@pytest.mark.parametrize("face", FACES)
def test_a_row_of_zeros_needs_multi_label(face: str) -> None:
    rows = torch.eye(5)[LABELS] * torch.tensor([0.0, 1, 1, 1])[:, None]
    with pytest.raises(
        MergeMixError, match=r"^labels: got a row of zeros, wanted at least one class per row, or multi_label"
    ):
        FACES[face](num_classes=5)(IMAGES, rows)
    targets = FACES[face](num_classes=5, multi_label=True)(IMAGES, rows)[1]
    assert targets.shape == (4, 5)


@pytest.mark.parametrize("face", FACES)
def test_one_column_is_smoothed_towards_a_half(face: str) -> None:
    made = FACES[face](num_classes=1, prob=0.0, label_smoothing=0.1)
    targets = made(IMAGES, torch.tensor([[0], [1], [1], [0]]))[1]
    torch.testing.assert_close(targets[:, 0], torch.tensor([0.05, 0.95, 0.95, 0.05]))


@pytest.mark.parametrize("face", FACES)
def test_channels_at_the_end_are_refused(face: str) -> None:
    with pytest.raises(MergeMixError, match=r"^images: got .* channels before height and width"):
        FACES[face](num_classes=5)(IMAGES.permute(0, 2, 3, 1), LABELS)


@pytest.mark.parametrize("face", OWN_FACES)
@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_a_mixer_gives_plain_tensors_for_wrapped_ones(face: str, prob: float) -> None:
    batch = FACES[face](num_classes=5, prob=prob).mix(tv_tensors.Image(IMAGES), LABELS)
    assert type(batch.images) is type(batch.raw) is Tensor


@pytest.mark.parametrize("face", [name for name in FACES if name.startswith("transforms.")])
@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_a_transform_gives_wrapped_images_for_wrapped_ones(face: str, prob: float) -> None:
    images, _ = FACES[face](num_classes=5, prob=prob)(tv_tensors.Image(IMAGES), LABELS)
    assert type(images) is tv_tensors.Image


@pytest.mark.parametrize("alpha", [1e15, 1e100, 1e308])
def test_a_ratio_of_a_huge_alpha_is_a_half(alpha: float) -> None:
    assert torch.allclose(mm.Mixup(alpha, num_classes=5).mix(IMAGES, LABELS).ratio, torch.tensor(0.5), atol=1e-6)
    mixer = mm.MergeMix(encoder(), 5, mergemix_alpha=alpha, mixup_alpha=0, cutmix_alpha=0, mergemix_prob=1.0)
    assert torch.equal(mixer.mix(IMAGES, LABELS).ratio, torch.full((4,), 0.5))


def test_given_saliency_asks_nothing_of_the_encoder() -> None:
    options = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "mergemix_prob": 1.0}
    many = f(4, 12, 32, 32)
    for made, images in ((encoder(), many), (encoder().to("meta"), IMAGES), (encoder(), IMAGES[..., :-1])):
        batch = mm.MergeMix(made, 5, **options).mix(images, LABELS, torch.rand(4, 4, 4))
        assert batch.images.shape == images.shape and set(batch.kind) == {"mergemix"}


@pytest.mark.parametrize(
    "face", [pytest.param(face, marks=newer_interpolation if "Resize" in face else ()) for face in OWN_FACES]
)
def test_forward_derivatives_go_through_a_mix(face: str) -> None:
    # MergeMix with a map of its own: where it is read of the images, forward mode cannot see through the pass.
    options = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "mergemix_prob": 1.0} if face == "MergeMix" else {}
    mixer, maps = FACES[face](num_classes=5, **options), (torch.rand(4, 4, 4),) if face == "MergeMix" else ()

    def mixed(images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return mixer.mix(images, LABELS, *maps).images

    x, direction = IMAGES.double(), f(4, 3, 32, 32, seed=1).double()
    _, derivative = torch.func.jvp(mixed, (x,), (direction,))
    torch.testing.assert_close(derivative, (mixed(x + direction) - mixed(x - direction)) / 2)


def test_numbers_of_numpy_are_numbers() -> None:
    assert mm.vlm.ImageMixer(kind="cutmix", store=np.int64(2)).recent.maxlen == 2
    assert mm.Mixup(np.float32(0.5), num_classes=np.int64(5))(IMAGES, LABELS)[1].shape == (4, 5)


def test_float64_images_are_resized_in_float64() -> None:
    images, partners = torch.zeros(1, 1, 4, 4).double(), f(1, 1, 4, 4).double() * 1e300
    pasted = functional.paste_resized(images, partners, torch.tensor([[0, 4, 0, 4]]))
    assert torch.equal(pasted, partners)


class Wrapped(nn.Module):
    """A model whose outputs are an object, as transformers' are."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": images.flatten(1)[:, :5]}


def step(**changed: Any) -> Any:
    given = {"model": encoder(), "mixer": mm.Mixup(num_classes=5), "loss": mm.PreferenceLoss(variant="dpo")}
    return mm.PreferenceStep(**{**given, "reference": Wrapped(), **changed})(IMAGES, LABELS)


def with_nan_weights() -> nn.Module:
    made = encoder()
    with torch.no_grad():
        made.blocks[0].attn.qkv.weight.fill_(NAN)
    return made


def compared(mass: float) -> Any:
    return mm.PreferenceLoss().compare(f(4, 5), f(4, 5, seed=1), LABELS, torch.full((4,), mass))


SOFT = mm.SoftTargetLoss()
ANSWERS = mm.vlm.AnswerLogp(-f(3, 4).abs(), torch.ones(3, 4, dtype=torch.bool))
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "validate": (lambda: mm.Mixup(validate="no"), "validate: got 'no', wanted True or False"),
    "bce": (lambda: mm.SoftTargetLoss(bce="no"), "bce: got 'no', wanted True or False"),
    "attention": (lambda: mm.record(encoder(), attention="no").__enter__(), "attention: got 'no', wanted True or"),
    "prop_attn": (lambda: mm.patch(encoder(), 2, prop_attn="no"), "prop_attn: got 'no', wanted True or False"),
    "detach": (lambda: mm.PreferenceLoss(detach_loser="no"), "detach_loser: got 'no', wanted True or False"),
    "NaN weights": (lambda: mm.saliency_map(with_nan_weights(), IMAGES), "encoder: its saliency is NaN or infinite"),
    "NaN target": (lambda: SOFT(f(4, 5), row(NAN)), "target: got rows of numbers from nan"),
    "negative target": (lambda: SOFT(f(4, 5), row(-1)), "target: got rows of numbers from -1"),
    "target above 1": (lambda: SOFT(f(4, 5), row(2)), "target: got rows of numbers from 0.2 to 2"),
    "complex target": (lambda: SOFT(f(4, 5), row(0).to(torch.complex64)), "target: got a complex64"),
    "one logit": (lambda: SOFT(f(4, 1), torch.rand(4, 1)), "logits: .* for a single column use bce=True"),
    **{f"mass {mass}": (lambda mass=mass: compared(mass), "mass: got numbers from") for mass in (2.0, -1.0, NAN)},
    "lam": (lambda: functional.count_patches(torch.tensor([2.0]), 9), "lam: got numbers from 2 to 2"),
    **{
        f"{count} of 9": (
            lambda count=count: functional.top_mask(torch.rand(1, 3, 3), torch.tensor([count]), torch.rand(1, 9)),
            "count: got numbers from",
        )
        for count in (-1, 10)
    },
    "box": (lambda: functional.box_mask(torch.tensor([[-2, 99, 1, 3]]), 4, 4), r"boxes: got the box \[-2, 99"),
    "ratio": (lambda: functional.blend_images(IMAGES, IMAGES, torch.full((4,), 2.0)), "ratio: got numbers from 2"),
    "kept twice": (
        lambda: functional.merge_tokens(f(1, 9, 4), plan(keep=torch.zeros_like)),
        "plan: got a plan that keeps",
    ),
    "no target": (lambda: functional.compose_source(plan(target=lambda t: t + 99)), r"plan.target: got numbers from"),
    "no plan": (lambda: functional.merge_tokens(f(1, 9, 4), functional.MergePlan(None, None, None)), "plan.keep: got"),
    "no blend": (lambda: mm.Mixer([(None, 0.5)]), "blends: got None"),
    "no model": (lambda: step(model="x", loss=mm.PreferenceLoss(), reference=None), "model: got 'x'"),
    "an object of logits": (step, "reference: got a model that returns a dict, wanted a model that returns logits"),
    "another object": (
        lambda: step(model=Wrapped(), loss=mm.PreferenceLoss(), reference=None),
        "model: got a model that returns a dict, wanted a model that returns logits",
    ),
    "no samples": (lambda: mm.PreferencePairs(mm.Mixup()).collate([]), r"samples: got \[\], wanted a list"),
    "two sizes": (
        lambda: mm.PreferencePairs(mm.Mixup()).collate([(f(3, 8, 8), 0), (f(3, 9, 9), 1)]),
        "samples: cannot be collated into a batch",
    ),
    "no inputs": (lambda: mm.transforms.MergeMix(encoder(), num_classes=5)(), "inputs: got"),
    "2.5 classes": (lambda: mm.Mixup(num_classes=2.5), "num_classes: got 2.5, wanted an integer"),
    "too many classes": (lambda: mm.Mixup(num_classes=10**400), "num_classes: got 1000.*, wanted an integer"),
    "too large an alpha": (lambda: mm.Mixup(10**400), "mixup_alpha: got 1000.*, wanted a finite number"),
    "labels without values": (lambda: mm.Mixup()(IMAGES, LABELS.to("meta")), "labels: got a tensor on meta"),
    **{
        f"{kind} logits": (lambda make=make: SOFT(make(f(4, 5)), i(5, 4)), "logits: got a")
        for kind, make in {
            "sparse": Tensor.to_sparse,
            "nested": lambda t: torch.nested.nested_tensor(list(t), layout=torch.jagged),
            "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8),
            "8-bit": lambda t: t.to(torch.float8_e4m3fn),
        }.items()
    },
    "quantised values": (
        lambda: functional.recover(torch.quantize_per_tensor(f(2, 3), 0.1, 0, torch.quint8), i(3, 2, 4)),
        "values: got a quint8 tensor",
    ),
    "out of another dtype": (
        lambda: functional.mix_images(IMAGES, IMAGES, IMAGES[:, :1] > 0, IMAGES.double()),
        "out: got a float64 tensor .*, wanted the dtype of images",
    ),
    "out with a gradient": (
        lambda: functional.blend_images(IMAGES, IMAGES, torch.ones(4), IMAGES.clone().requires_grad_()),
        "out: got a tensor that requires a gradient, wanted one without a gradient",
    ),
    "a negative map": (
        lambda: functional.attention_ratio(torch.ones(1, 2, 2), -torch.ones(1, 2, 2), torch.ones(1, 2, 2) > 0),
        "partner_saliency: got numbers that are negative",
    ),
    "a map on another device": (
        lambda: mm.MergeMix(encoder(), 5).mix(IMAGES, LABELS, torch.ones(4, 4, 4, device="meta")),
        "saliency: got a tensor on meta, wanted a tensor on cpu",
    ),
    "a word for inside": (
        lambda: functional.visible_boxes(torch.zeros(1, 4), (0, 0, 1, 1), "no"),
        "inside: got 'no', wanted True or False",
    ),
    "several layers": (lambda: mm.MergeMix(encoder(), layer=np.array([0, 1])), r"layer: got array\(\[0, 1\]\)"),
    "channels at the end": (
        lambda: functional.paste_resized(torch.rand(1, 8, 8, 3), torch.rand(1, 8, 8, 3), torch.zeros(1, 4).long()),
        "images: got .* channels before height and width",
    ),
    "statistics that are none": (
        lambda: mm.viz.mix_grid(mm.Mixup(num_classes=5).mix(IMAGES, LABELS), mean=(0.5, NAN, 0.5)),
        "mean: got .* wanted 3 finite numbers",
    ),
    "too few columns": (
        lambda: mm.viz.confidence_by_ratio(mm.Mixup(num_classes=5).mix(IMAGES, LABELS), torch.rand(4, 3)),
        "probs: got .* wanted columns for all classes, 4 or more",
    ),
    "rows that are not there": (
        lambda: mm.vlm.SequencePreferenceLoss()(ANSWERS, ANSWERS, torch.rand(3), torch.tensor([0, 1, 3])),
        "rows: got numbers from 0 to 3, wanted numbers from 0 to 2",
    ),
    "statistics beyond floats": (
        lambda: mm.MergeMix(encoder(), image_mean=10**400, image_std=1.0),
        "image_mean, image_std: got",
    ),
    "two devices": (lambda: SOFT(f(4, 5), i(5, 4).to("meta")), "target: got a tensor on meta, wanted a tensor on cpu"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_nothing_is_refused_by_name(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(MergeMixError, match=f"^{message}"):
        call()
