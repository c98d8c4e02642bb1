"""The MergeMix transform for torchvision v2 mixes as the mixer does."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.transforms import MergeMix

from ..mix.batches import noise, quick
from ..models import tiny

ENCODER = tiny()
X, Y = noise(4, 3, 64, 64), torch.tensor([0, 3, 2, 1])


def transform(seed: int = 0, **options: object) -> MergeMix:
    generator = torch.Generator().manual_seed(seed)
    return MergeMix(ENCODER, **{"num_classes": 5, "generator": generator} | options)


def mixed(seed: int = 0, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """The result that the transform should return: that of the mixer."""
    generator = torch.Generator().manual_seed(seed)
    settings = {"num_classes": 5, "mergemix_prob": 1.0, "label_smoothing": 0.0, "generator": generator} | options
    return mm.MergeMix(ENCODER, **settings)(X, Y)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("ratio_mode", ["area", "attention"])
def test_the_transform_mixes_as_the_mixer_does(mode: str, ratio_mode: str) -> None:
    images, targets = transform(mode=mode, ratio_mode=ratio_mode, select="both")(X, Y)
    wanted = mixed(mode=mode, ratio_mode=ratio_mode, select="both")
    assert torch.equal(images, wanted[0])
    assert torch.equal(targets, wanted[1])
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_alpha_is_the_mergemix_alpha_of_the_mixer() -> None:
    images, _ = transform(alpha=0.2)(X, Y)
    assert torch.equal(images, mixed(mergemix_alpha=0.2)[0])
    assert not torch.equal(images, transform(alpha=5.0)(X, Y)[0])


def test_the_batch_is_not_changed_in_place() -> None:
    x, y = X.clone(), Y.clone()
    transform()(x, y)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


def test_random_choice_takes_it_beside_mixup_and_cutmix() -> None:
    choice = v2.RandomChoice([v2.MixUp(num_classes=5), v2.CutMix(num_classes=5), MergeMix(ENCODER, num_classes=5)])
    torch.manual_seed(0)
    for _ in range(12):
        images, targets = choice(X, Y)
        assert images.shape == X.shape
        assert targets.shape == (4, 5)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_the_torch_seed_determines_the_mix() -> None:
    own = MergeMix(ENCODER, num_classes=5)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(own(X, Y)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_images_stay_wrapped() -> None:
    images, targets = transform()(tv_tensors.Image(X), Y)
    assert type(images) is tv_tensors.Image
    assert type(targets) is torch.Tensor
    assert torch.equal(images.as_subclass(torch.Tensor), mixed()[0])
    assert type(transform(prob=0.0)(tv_tensors.Image(X), Y)[0]) is tv_tensors.Image


@pytest.mark.parametrize("num_classes", [None, 6])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_rows_of_labels_are_mixed(num_classes: int | None, dtype: torch.dtype) -> None:
    rows = (noise(4, 6) > 0).to(dtype)
    images, targets = transform(num_classes=num_classes)(X, rows)
    assert targets.dtype == torch.float32
    assert torch.equal(images, mixed()[0])
    ratio = (
        mm.MergeMix(ENCODER, 5, mergemix_prob=1.0, generator=torch.Generator().manual_seed(0))
        .mix(X, Y)
        .ratio.unsqueeze(1)
    )
    torch.testing.assert_close(targets, ratio * rows.float() + (1 - ratio) * rows.flip(0).float())


def test_uint8_images_are_mixed() -> None:
    x = noise(4, 3, 64, 64, dtype=torch.uint8)
    images, _ = transform()(tv_tensors.Image(x), Y)
    assert images.dtype == torch.uint8


def test_the_encoder_is_not_registered_as_a_submodule() -> None:
    own = transform()
    assert list(own.parameters()) == []
    assert list(own.children()) == []
    assert own.state_dict() == {}
    ENCODER.train()
    own.eval()
    assert ENCODER.training
    ENCODER.eval()


def test_copies_and_pickles_mix_alike() -> None:
    own = MergeMix(ENCODER, num_classes=5)
    for twin in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        torch.manual_seed(0)
        wanted = own(X, Y)
        torch.manual_seed(0)
        assert torch.equal(twin(X, Y)[0], wanted[0])


def test_repr_shows_the_settings() -> None:
    assert repr(transform(alpha=0.5, mode="pair")) == "MergeMix(alpha=0.5, num_classes=5, mode='pair')"


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("alpha", {"alpha": 0}),
        ("alpha", {"alpha": -1.0}),
        ("alpha", {"alpha": float("nan")}),
        ("alpha", {"alpha": "1"}),
        ("num_classes", {"num_classes": 0}),
        ("mode", {"mode": "row"}),
        ("ratio_mode", {"ratio_mode": "mean"}),
        ("select", {"select": "all"}),
        ("layer", {"layer": 5}),
        ("labels_getter", {"labels_getter": "second"}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: "):
        transform(**options)


def test_bad_encoders_are_named() -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: "):
        MergeMix("vit", num_classes=5)


@quick
@given(
    dtype=st.sampled_from([torch.bool, torch.uint8, torch.int64, torch.float32]),
    image_dtype=st.sampled_from([torch.float32, torch.uint8]),
    mode=st.sampled_from(["batch", "pair", "elem"]),
    select=st.sampled_from(["own", "both"]),
    batch=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_masks_are_mixed_by_the_pixel_mask_of_the_images(
    dtype: torch.dtype, image_dtype: torch.dtype, mode: str, select: str, batch: int, seed: int
) -> None:
    # Each pixel of an image is 200 times its class, so the mixed image says what the mixed mask must be.
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(2, (batch, 3, 64, 64), generator=generator)
    masks = classes.to(dtype) if dtype.is_floating_point else classes[:, 0].to(dtype)
    own = MergeMix(ENCODER, mode=mode, select=select, saliency_scale=1.0, generator=generator)
    images, mixed = own(tv_tensors.Image((200 * classes).to(image_dtype)), tv_tensors.Mask(masks))
    shown = images.as_subclass(torch.Tensor).long() // 200
    assert type(mixed) is tv_tensors.Mask and mixed.dtype == dtype
    assert torch.equal(mixed.as_subclass(torch.Tensor), (shown if dtype.is_floating_point else shown[:, 0]).to(dtype))


def test_masks_change_nothing_about_the_images_and_labels() -> None:
    masks = torch.arange(4).view(-1, 1, 1).expand(-1, 64, 64)
    images, targets, out = transform()(X, Y, tv_tensors.Mask(masks))
    assert torch.equal(images, mixed()[0]) and torch.equal(targets, mixed()[1])
    shares = torch.nn.functional.one_hot(out.as_subclass(torch.Tensor), 4).double().mean((1, 2))
    torch.testing.assert_close(shares @ torch.eye(5)[Y].double(), targets.double())
    soft = transform(mask_classes=4)(X, Y, tv_tensors.Mask(masks))[2]
    assert torch.equal(soft.argmax(1), out.as_subclass(torch.Tensor)) and soft.dtype == torch.float32


def test_boxes_are_refused_with_an_error_that_names_them() -> None:
    boxes = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(64, 64))
    with pytest.raises(MergeMixError, match=r"^boxes: got boxes for mergemix, wanted only CutMix or ResizeMix"):
        transform()(X, [{"boxes": boxes, "labels": torch.zeros(0)}] * 4)


@pytest.mark.parametrize(
    ("argument", "x", "y"),
    [
        ("images", X[0], Y),
        ("images", X[:, :1], Y),
        ("images", X.long(), Y),
        ("images", X[:0], Y[:0]),
        ("labels", X, Y[:3]),
        ("labels", X, Y + 2),
        ("labels", X, Y.float()),
        ("labels", X, Y > 0),
        ("labels", X, Y.view(2, 2, 1)),
        ("labels", X, torch.zeros(4, 6)),
    ],
)
def test_bad_batches_are_named(argument: str, x: torch.Tensor, y: torch.Tensor) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        MergeMix(ENCODER, num_classes=5)(x, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_integer_labels_have_the_classes_of_the_encoder_unless_it_has_none() -> None:
    assert MergeMix(ENCODER)(X, Y)[1].shape == (len(Y), 10)
    with pytest.raises(MergeMixError, match=r"^num_classes: got None, wanted the number of classes"):
        MergeMix(tiny(num_classes=0))(X, Y)
