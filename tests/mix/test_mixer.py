"""What all mixers share: modes, probabilities, targets, checks and one number drawn."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import Blend, Draw, MergeMixError, Mixer, Mixup, Pairs, ResizeMix
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.mergemix import MergeMixBlend
from timm_mergemix.mix.mixer import drop_unused

from .batches import FixedSaliency, distinct, mergemix, noise, quick

MODES = MixConfig.options()["mode"].choices

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8]


def all_kinds(mode: str = "elem", prob: float = 0.8, **options: object) -> Mixer:
    blends = [(MergeMixBlend(FixedSaliency(4, 4)), 0.4), (CutMixBlend(), 0.3), (MixupBlend(), 0.3)]
    return Mixer(blends, mode=mode, prob=prob, **{"num_classes": 10} | options)


MIXERS: dict[str, Callable[..., Mixer]] = {
    "mergemix": lambda **options: mergemix(**options),
    "attention": lambda **options: mergemix(ratio_mode="attention", **options),
    "mixup": lambda **options: Mixup(**options),
    "cutmix": lambda **options: Mixup(0.0, 1.0, **options),
    "resizemix": lambda **options: ResizeMix(**options),
    "all": lambda **options: all_kinds(**options),
}


def same(left: object, right: object) -> bool:
    tensors = ("images", "labels", "ratio", "index", "targets")
    return left.kind == right.kind and all(torch.equal(getattr(left, n), getattr(right, n)) for n in tensors)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layout_and_dtype_are_kept_and_input_is_untouched(name: str, mode: str, layout: torch.memory_format) -> None:
    for dtype in DTYPES:
        images = noise(5, 3, 16, 20, dtype=dtype).to(memory_format=layout)
        labels = torch.arange(5)
        before, version = images.clone(), (images._version, labels._version)
        mixed = MIXERS[name](mode=mode, num_classes=10).mix(images, labels)
        assert mixed.images.dtype == dtype
        assert mixed.images.shape == images.shape
        assert mixed.images.is_contiguous(memory_format=layout)
        assert (images._version, labels._version) == version
        assert torch.equal(images, before)
        assert mixed.images.untyped_storage().data_ptr() != images.untyped_storage().data_ptr()
        assert torch.equal(labels, torch.arange(5))


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("mode", MODES)
def test_strided_images_are_untouched(name: str, mode: str) -> None:
    whole = noise(10, 6, 32, 20)
    before = whole.clone()
    view = whole[::2, 1:4, ::2].transpose(2, 3)
    torch.manual_seed(0)
    strided = MIXERS[name](mode=mode, num_classes=10).mix(view, torch.arange(5))
    torch.manual_seed(0)
    plain = MIXERS[name](mode=mode, num_classes=10).mix(view.contiguous(), torch.arange(5))
    assert torch.equal(whole, before)
    assert same(strided, plain)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("mode", MODES)
def test_gradients_reach_the_images(name: str, mode: str) -> None:
    images = noise(4, 3, 16, 16).requires_grad_()
    mixed = MIXERS[name](mode=mode, num_classes=10).mix(images, torch.arange(4))
    (gradient,) = torch.autograd.grad(mixed.images.sum(), images)
    assert images.grad is None
    assert gradient.isfinite().all()
    if name not in ("resizemix", "all"):
        # Each pixel of the mix is one weight's worth of pixels.
        assert gradient.sum().item() == pytest.approx(images.numel(), rel=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MIXERS)
def test_the_seed_governs(name: str, mode: str) -> None:
    images, labels = noise(6, 3, 16, 16), torch.arange(6)
    make = MIXERS[name]
    torch.manual_seed(5)
    first, second = (make(mode=mode, num_classes=10).mix(images, labels) for _ in range(2))
    torch.manual_seed(5)
    assert same(make(mode=mode, num_classes=10).mix(images, labels), first)
    assert not same(first, second)
    before = torch.get_rng_state()
    own = [
        make(mode=mode, num_classes=10, generator=torch.Generator().manual_seed(5)).mix(images, labels)
        for _ in range(2)
    ]
    assert same(*own)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", MIXERS)
def test_a_mix_takes_one_number_and_leaves_other_generators_alone(name: str) -> None:
    for mode in MODES:
        for prob in (0.0, 0.5, 1.0):
            mixer = MIXERS[name](mode=mode, prob=prob, num_classes=10)
            np.random.seed(1)
            others = random.getstate(), np.random.get_state()[1].copy()
            torch.manual_seed(2)
            torch.randint(2**63 - 1, ())
            wanted = torch.get_rng_state()
            torch.manual_seed(2)
            mixer.mix(noise(5, 3, 8, 8), torch.arange(5))
            assert torch.equal(torch.get_rng_state(), wanted)
            assert random.getstate() == others[0]
            assert (np.random.get_state()[1] == others[1]).all()


@quick
@given(st.integers(1, 7), st.sampled_from(MODES), st.integers(0, 10**6))
def test_rows_are_what_their_kind_says(batch: int, mode: str, seed: int) -> None:
    images, labels = distinct(batch, 3, 12, 12), torch.arange(batch)
    mixed = all_kinds(mode, generator=torch.Generator().manual_seed(seed)).mix(images, labels)
    assert len(mixed.kind) == batch
    partners = images[mixed.index]
    for i, kind in enumerate(mixed.kind):
        if kind == "none":
            assert torch.equal(mixed.images[i], images[i])
            assert mixed.ratio[i] == 1
        elif kind == "mixup":
            torch.testing.assert_close(mixed.images[i], torch.lerp(partners[i], images[i], mixed.ratio[i]))
        else:
            assert torch.equal(mixed.images[i], torch.where(mixed.mask[i], images[i], partners[i]))
            torch.testing.assert_close(mixed.ratio[i], mixed.mask[i].float().mean())
        if kind in ("none", "mixup") and mixed.mask is not None:
            assert mixed.mask[i].all()
        if mixed.saliency is not None:
            assert mixed.saliency[i].sum().item() == pytest.approx(float(kind == "mergemix"), abs=1e-5)
    assert (mixed.mask is None) == set(mixed.kind).isdisjoint({"mergemix", "cutmix"})
    assert (mixed.saliency is None) == ("mergemix" not in mixed.kind)
    if batch % 2:
        torch.testing.assert_close(mixed.images[batch // 2], images[batch // 2])
        assert mixed.targets[batch // 2].argmax() == batch // 2


@pytest.mark.parametrize("name", ["mixup", "cutmix", "resizemix", "mergemix"])
def test_modes_share_what_they_say(name: str) -> None:
    images = torch.linspace(0, 1, 16 * 16).view(1, 1, 16, 16).expand(7, 1, 16, 16)  # one saliency for all
    for seed in range(3):
        mixed = {}
        for mode in MODES:
            mixer = MIXERS[name](mode=mode, num_classes=10, generator=torch.Generator().manual_seed(seed))
            mixed[mode] = mixer.mix(images, torch.arange(7))
        assert len(mixed["batch"].ratio.unique()) == 1
        assert torch.equal(mixed["pair"].ratio, mixed["pair"].ratio.flip(0))
        assert len(mixed["pair"].ratio.unique()) > 1
        assert not torch.equal(mixed["elem"].ratio, mixed["elem"].ratio.flip(0))
        if name in ("cutmix", "resizemix"):
            assert torch.equal(mixed["pair"].mask, mixed["pair"].mask.flip(0))
            assert (mixed["batch"].mask == mixed["batch"].mask[:1]).all()


def test_pairs_share_their_kind() -> None:
    kinds = set()
    for seed in range(20):
        mixed = all_kinds("pair", generator=torch.Generator().manual_seed(seed)).mix(noise(7, 3, 8, 8), torch.arange(7))
        assert mixed.kind == mixed.kind[::-1]
        kinds |= set(mixed.kind)
        batch = all_kinds("batch", generator=torch.Generator().manual_seed(seed)).mix(
            noise(7, 3, 8, 8), torch.arange(7)
        )
        assert len(set(batch.kind)) == 1
    assert kinds == {"none", "mixup", "cutmix", "mergemix"}


@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_kinds_come_as_often_as_they_should(mode: str) -> None:
    mixer = all_kinds(mode, prob=0.7, generator=torch.Generator().manual_seed(0))
    rows, count = (1, 1000) if mode == "batch" else (2000, 2000)
    kinds = [
        kind
        for _ in range(count // rows)
        for kind in mixer.mix(torch.zeros(rows, 1, 4, 4), torch.zeros(rows, dtype=torch.long)).kind
    ]
    share = {kind: kinds.count(kind) / len(kinds) for kind in ("mergemix", "cutmix", "mixup", "none")}
    # The standard deviation of a share is 0.015 at most.
    assert share == pytest.approx({"mergemix": 0.28, "cutmix": 0.21, "mixup": 0.21, "none": 0.3}, abs=0.05)


def test_probabilities_below_1_leave_images_unmixed() -> None:
    mixer = Mixer([(MixupBlend(), 0.25)], mode="elem", generator=torch.Generator().manual_seed(0))
    kinds = mixer.mix(torch.zeros(2000, 1, 1, 1), torch.zeros(2000, dtype=torch.long)).kind
    assert kinds.count("mixup") / 2000 == pytest.approx(0.25, abs=0.05)
    assert kinds.count("none") + kinds.count("mixup") == 2000


@pytest.mark.parametrize("name", MIXERS)
def test_mixup_enabled_false_leaves_the_images_alone(name: str) -> None:
    mixer = MIXERS[name](num_classes=10, label_smoothing=0.1)
    mixer.mixup_enabled = False
    images, labels = noise(4, 3, 8, 8), torch.arange(4)
    mixed = mixer.mix(images, labels)
    assert torch.equal(mixed.images, images)
    assert mixed.ratio.tolist() == [1] * 4
    assert mixed.kind == ("none",) * 4
    assert mixed.mask is None
    assert mixed.saliency is None
    assert mixed.targets.argmax(1).tolist() == [0, 1, 2, 3]
    assert mixed.targets[0].tolist() == pytest.approx([0.91] + [0.01] * 9)
    mixer.mixup_enabled = True
    assert "none" not in mixer.mix(images, labels).kind or name == "all"


def test_the_call_is_timms() -> None:
    mixer = all_kinds(generator=torch.Generator().manual_seed(1))
    twin = all_kinds(generator=torch.Generator().manual_seed(1))
    images, labels = noise(4, 3, 8, 8), torch.arange(4)
    mixed, targets = mixer(images, labels)
    batch = twin.mix(images, labels)
    assert torch.equal(mixed, batch.images)
    assert torch.equal(targets, batch.targets)
    assert targets.dtype == torch.float32


@pytest.mark.parametrize("multi_label", [False, True])
def test_rows_of_labels_are_mixed_by_the_ratio(multi_label: bool) -> None:
    rows = (noise(4, 6) > 0).long()
    mixer = all_kinds("elem", num_classes=None, multi_label=multi_label, label_smoothing=0.0)
    mixed = mixer.mix(noise(4, 3, 8, 8), rows)
    weight = mixed.ratio.unsqueeze(1)
    torch.testing.assert_close(mixed.targets, weight * rows + (1 - weight) * rows.flip(0))
    assert mixed.labels is rows


class Doubling:
    name = "doubling"

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        return Blend(2 * pairs.own, torch.full((len(pairs.own),), 0.5))


def test_a_blend_of_ones_own_is_mixed_with() -> None:
    images = noise(3, 1, 4, 4)
    mixed = Mixer([(Doubling(), 1.0)], num_classes=3).mix(images, torch.arange(3))
    assert mixed.kind == ("doubling",) * 3
    assert torch.equal(mixed.images, 2 * images)
    torch.testing.assert_close(mixed.targets[0], torch.tensor([0.45, 0, 0.45]) + 0.1 / 3)


class Own:
    """A user's blend that returns what it is told."""

    name = "own"

    def __init__(self, **fields: torch.Tensor | None) -> None:
        self.fields = fields

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        good = {"images": pairs.own, "ratio": torch.from_numpy(draw.beta(1.0))}
        return Blend(**good | {name: torch.as_tensor(value)[: len(pairs.own)] for name, value in self.fields.items()})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prob", [0.5, 1.0])
@pytest.mark.parametrize("fields", [{}, {"measured": torch.ones(8).double()}])
def test_a_blend_may_give_a_ratio_of_any_precision(fields: dict[str, torch.Tensor], mode: str, prob: float) -> None:
    torch.manual_seed(0)
    own = Own(**fields)
    mixed = Mixer([(own, 1.0)], num_classes=4, mode=mode, prob=prob).mix(noise(8, 3, 8, 8), torch.arange(8) % 4)
    assert mixed.ratio.dtype == torch.float32 and mixed.targets.sum(dim=1).sub(1).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"images": torch.zeros(8, 3, 8, 9)},
            r"images of own: got a float32 tensor .*, wanted a tensor of shape \(\d, 3",
        ),
        (
            {"images": torch.zeros(8, 3, 8, 8).double()},
            r"images of own: got a float64 tensor .*, wanted the dtype of the batch",
        ),
        (
            {"ratio": torch.zeros(8, 1)},
            r"ratio of own: got a float32 tensor .*, wanted a float tensor of shape \(\d,\)",
        ),
        (
            {"mask": torch.ones(8, 8, 8, dtype=torch.bool)},
            r"mask of own: got a bool tensor .*, wanted a bool tensor of shape",
        ),
    ],
)
@pytest.mark.parametrize("prob", [0.5, 1.0])
def test_what_a_blend_of_ones_own_gives_is_checked(fields: dict[str, torch.Tensor], message: str, prob: float) -> None:
    torch.manual_seed(0)
    with pytest.raises(MergeMixError, match=f"^{message}"):
        Mixer([(Own(**fields), 1.0)], num_classes=4, mode="elem", prob=prob).mix(noise(8, 3, 8, 8), torch.arange(8) % 4)


def test_copies_and_pickles_mix_alike() -> None:
    mixer = all_kinds(num_classes=10)
    images, labels = noise(5, 3, 8, 8), torch.arange(5)
    for twin in (copy.deepcopy(mixer), pickle.loads(pickle.dumps(mixer))):
        torch.manual_seed(0)
        ours = mixer.mix(images, labels)
        torch.manual_seed(0)
        assert same(twin.mix(images, labels), ours)


def test_repr_shows_shares_and_settings() -> None:
    assert repr(Mixup(0.8, 1.0)) == "Mixup(cutmix: 0.5, mixup: 0.5, prob=1.0, mode='batch', num_classes=1000)"


def test_blends_without_a_share_are_dropped() -> None:
    mixup, cutmix = MixupBlend(), CutMixBlend()
    assert drop_unused([(mixup, 0.4), (cutmix, 0.0)]) == [(mixup, 0.4)]
    with pytest.raises(MergeMixError, match=r"^mixup_alpha, cutmix_alpha, .*: got 0"):
        drop_unused([(mixup, 0.0)])


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("num_classes", {"num_classes": 0}),
        ("num_classes", {"num_classes": 2.0}),
        ("num_classes", {"num_classes": True}),
        ("prob", {"prob": 1.1}),
        ("prob", {"prob": -0.1}),
        ("prob", {"prob": float("nan")}),
        ("mode", {"mode": "half"}),
        ("mode", {"mode": None}),
        ("label_smoothing", {"label_smoothing": 1.5}),
        ("label_smoothing", {"label_smoothing": "0.1"}),
        ("generator", {"generator": 3}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        Mixer([(MixupBlend(), 1.0)], **options)


@pytest.mark.parametrize("blends", [[], [(MixupBlend(), 0.7), (CutMixBlend(), 0.7)], [(MixupBlend(), -0.1)]])
def test_bad_blends_are_named(blends: list) -> None:
    with pytest.raises(MergeMixError, match=r"^blends: got"):
        Mixer(blends)


@pytest.mark.parametrize(
    ("argument", "images", "labels"),
    [
        ("images", torch.rand(3, 4, 4), torch.arange(3)),
        ("images", torch.rand(0, 3, 4, 4), torch.arange(0)),
        ("images", torch.full((2, 3, 4, 4), float("nan")), torch.arange(2)),
        ("images", torch.ones(2, 3, 4, 4, dtype=torch.int32), torch.arange(2)),
        ("labels", torch.rand(2, 3, 4, 4), torch.arange(3)),
        ("labels", torch.rand(2, 3, 4, 4), torch.tensor([0.0, 1.0])),
        ("labels", torch.rand(2, 3, 4, 4), torch.tensor([True, False])),
        ("labels", torch.rand(2, 3, 4, 4), torch.tensor([0, 10])),
        ("labels", torch.rand(2, 3, 4, 4), torch.tensor([-1, 0])),
        ("labels", torch.rand(2, 3, 4, 4), [0, 1]),
    ],
)
@pytest.mark.parametrize("name", MIXERS)
def test_bad_batches_are_named_before_anything_is_drawn(
    name: str, argument: str, images: torch.Tensor, labels: torch.Tensor
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        MIXERS[name](num_classes=10)(images, labels)
    assert torch.equal(torch.get_rng_state(), before)


def test_integer_labels_need_num_classes() -> None:
    with pytest.raises(MergeMixError, match=r"^num_classes: got None"):
        Mixup(num_classes=None)(torch.rand(2, 3, 4, 4), torch.arange(2))


def test_ratios_are_float32_whatever_the_default() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    torch.set_default_dtype(torch.float64)
    try:
        for prob, mode in ((0.0, "batch"), (0.5, "elem")):
            batch = Mixup(0.8, 1.0, prob=prob, mode=mode, num_classes=4).mix(images, labels)
            assert batch.ratio.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
