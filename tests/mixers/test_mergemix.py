"""MergeMix on real encoders. The blend alone, on a given saliency, is tested in mix/test_mergemix."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMix, MergeMixError, functional, saliency_map
from timm_mergemix.testing import check_mixer

from ..mix.batches import noise, quick
from ..models import images, tiny, tiny_convnet, tiny_swin, tiny_torchvision

ENCODER = tiny()
ONLY = {"mergemix_prob": 1.0, "num_classes": 10}


def mixer(encoder: nn.Module = ENCODER, seed: int | None = 0, **options: object) -> MergeMix:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return MergeMix(encoder, **ONLY | {"generator": generator} | options)


@settings(quick, max_examples=25)
@given(
    st.integers(1, 7),
    st.sampled_from([(64, 64), (50, 70), (30, 31)]),
    st.sampled_from(["batch", "pair", "elem"]),
    st.sampled_from(["area", "attention", "gaussian"]),
    st.sampled_from([0, 3, ("keep", 0.5), None]),
    st.integers(0, 10**6),
)
def test_a_mix_follows_the_mask_of_the_encoders_saliency(
    batch: int, size: tuple[int, int], mode: str, ratio_mode: str, r: object, seed: int
) -> None:
    x, y = noise(batch, 3, *size, seed=seed), torch.arange(batch)
    mixed = mixer(seed=seed, mode=mode, ratio_mode=ratio_mode, saliency_r=r).mix(x, y)
    assert torch.equal(mixed.images, torch.where(mixed.mask, x, x.flip(0)))
    if size == (64, 64):
        assert torch.equal(functional.expand_mask(mixed.mask[:, 0, ::16, ::16], 64, 64), mixed.mask)
    # The batch size changes the last bits of a product of matrices.
    torch.testing.assert_close(mixed.saliency, saliency_map(ENCODER, x, r=r), rtol=1e-4, atol=1e-6)
    if ratio_mode == "area":
        torch.testing.assert_close(mixed.ratio, mixed.mask.float().mean((1, 2, 3)))
    assert ((mixed.ratio >= 0) & (mixed.ratio <= 1)).all()
    assert (mixed.targets >= 0).all()
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 32), (32, 16)])
@pytest.mark.parametrize("r", [0, None])
def test_a_grid_of_two_patches_mixes_none_one_or_both(size: tuple[int, int], r: int | None) -> None:
    encoder = tiny(img_size=size)
    x = noise(24, 3, *size)
    mixed = mixer(encoder, saliency_r=r, mode="elem").mix(x, torch.arange(24) % 10)
    assert mixed.saliency is not None and mixed.mask is not None
    assert mixed.saliency.shape == (24, size[0] // 16, size[1] // 16)
    assert set(mixed.ratio.tolist()) == {0.0, 0.5, 1.0}
    half = mixed.ratio == 0.5
    kept = mixed.mask[:, 0, ::16, ::16]
    first = mixed.saliency.flatten(1).argmax(dim=1, keepdim=True)
    assert kept.flatten(1).gather(1, first)[half].all()
    with pytest.raises(MergeMixError, match=r"^saliency_r: got 1, wanted an r that leaves more than one of 2 patches"):
        mixer(encoder, saliency_r=1)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "vit_base_patch16_siglip_224", "torchvision"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_other_encoders_and_layouts_mix_alike(name: str, layout: torch.memory_format) -> None:
    encoder = tiny_torchvision() if name == "torchvision" else tiny(name)
    x = images(encoder, 3).to(memory_format=layout)
    before = x.clone()
    mixed = mixer(encoder, mode="elem").mix(x, torch.arange(3))
    assert mixed.images.is_contiguous(memory_format=layout)
    assert torch.equal(x, before)
    assert torch.equal(mixed.images, torch.where(mixed.mask, x, x.flip(0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
def test_images_keep_their_dtype_and_the_rest_is_float32(dtype: torch.dtype) -> None:
    x = noise(3, 3, 64, 64, dtype=dtype)
    mixed = mixer().mix(x, torch.arange(3))
    assert mixed.images.dtype == dtype
    assert torch.equal(mixed.images, torch.where(mixed.mask, x, x.flip(0)))
    assert mixed.ratio.dtype == mixed.saliency.dtype == mixed.targets.dtype == torch.float32


def test_settings_reach_the_saliency_pass() -> None:
    x, y = noise(4, 3, 64, 64), torch.arange(4)
    statistics = {"image_mean": (0.4,), "image_std": (0.3,), "encoder_mean": (0.5,), "encoder_std": (0.6,)}
    for options, wanted in (
        ({"layer": 0}, saliency_map(ENCODER, x, 0, ("keep", 0.5))),
        ({"saliency_r": 5}, saliency_map(ENCODER, x, r=5)),
        ({"saliency_r": 4, "divide": False}, saliency_map(ENCODER, x, r=4, divide=False)),
        (statistics, saliency_map(ENCODER, (x * 0.3 + 0.4 - 0.5) / 0.6, r=("keep", 0.5))),
    ):
        torch.testing.assert_close(mixer(**options).mix(x, y).saliency, wanted, rtol=1e-3, atol=1e-5)


def test_the_encoder_is_read_as_it_is_now() -> None:
    encoder = tiny()
    mix, x = mixer(encoder), images(encoder, 4)
    before = mix.mix(x, torch.arange(4)).saliency
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.1)
    after = mix.mix(x, torch.arange(4)).saliency
    assert not torch.equal(before, after)
    assert torch.equal(after, saliency_map(encoder, x, r=("keep", 0.5)))


def test_training_with_it_touches_nothing_of_the_model() -> None:
    encoder = mm.patch(tiny(drop_path_rate=0.5, patch_drop_rate=0.25).train(), 2)
    x, y = images(encoder, 4), torch.arange(4)
    modes = [module.training for module in encoder.modules()]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batch = mixer(encoder).mix(x, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in encoder.modules()] == modes
    assert mm.merge_info(encoder).r == 2
    mm.SoftTargetLoss()(encoder(batch.images), batch).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_the_invariants_of_mixing_hold(mode: str) -> None:
    check_mixer(mixer(tiny(depth=1), seed=None, mode=mode, mergemix_prob=0.7), examples=5)


@pytest.mark.parametrize("ratio_mode", ["attention", "gaussian"])
def test_the_invariants_hold_where_the_ratio_is_not_that_of_pixels(ratio_mode: str) -> None:
    check_mixer(
        mixer(tiny(depth=1), mode="elem", ratio_mode=ratio_mode), examples=5, without=("targets say what is shown",)
    )


def test_one_number_is_drawn() -> None:
    torch.manual_seed(4)
    torch.randint(2**63 - 1, ())
    wanted = torch.get_rng_state()
    torch.manual_seed(4)
    mixer(seed=None, mode="elem")(noise(5, 3, 64, 64), torch.arange(5))
    assert torch.equal(torch.get_rng_state(), wanted)


def test_probabilities_give_each_way_to_mix_its_share() -> None:
    def shares(**options: object) -> dict[str, float]:
        return {blend.name: round(share, 9) for blend, share in MergeMix(ENCODER, 10, **options).blends}

    assert shares() == {"mergemix": 0.5, "cutmix": 0.25, "mixup": 0.25}
    assert shares(mergemix_prob=0.6, switch_prob=0.25) == {"mergemix": 0.6, "cutmix": 0.1, "mixup": 0.3}
    assert shares(mixup_alpha=0.0) == {"mergemix": 0.5, "cutmix": 0.5}
    assert shares(mixup_alpha=0.0, cutmix_alpha=0.0) == {"mergemix": 0.5}
    assert shares(mergemix_alpha=0.0) == {"cutmix": 0.5, "mixup": 0.5}
    assert shares(mergemix_prob=0.0) == {"cutmix": 0.5, "mixup": 0.5}
    assert shares(mixup_alpha=0.0, cutmix_alpha=0.0, cutmix_minmax=(0.2, 0.8)) == {"mergemix": 0.5, "cutmix": 0.5}


def test_mergemix_prob_is_the_share_of_mergemix() -> None:
    kinds = [
        kind
        for seed in range(4)
        for kind in mixer(seed=seed, mergemix_prob=0.3, prob=0.8, mode="elem").mix(X100, Y100).kind
    ]
    share = {kind: kinds.count(kind) / len(kinds) for kind in ("mergemix", "cutmix", "mixup", "none")}
    # Of 400 rows: the standard deviation is 0.022.
    assert share == pytest.approx({"mergemix": 0.24, "cutmix": 0.28, "mixup": 0.28, "none": 0.2}, abs=0.09)


X100, Y100 = noise(100, 3, 16, 16), torch.zeros(100, dtype=torch.long)


def test_mixup_enabled_false_leaves_images_and_encoder_alone() -> None:
    mix, x = mixer(), noise(3, 3, 64, 64)
    mix.mixup_enabled = False
    batch = mix.mix(x, torch.arange(3))
    assert torch.equal(batch.images, x)
    assert batch.saliency is None
    # The encoder has no part in it then.
    assert mix.mix(noise(3, 5, 64, 64), torch.arange(3)).kind == ("none",) * 3


def test_copies_and_pickles_mix_alike() -> None:
    x, y = noise(3, 3, 64, 64), torch.arange(3)
    mix = mixer(seed=None)
    for twin in (copy.deepcopy(mix), pickle.loads(pickle.dumps(mix))):
        torch.manual_seed(0)
        ours = mix(x, y)
        torch.manual_seed(0)
        assert torch.equal(twin(x, y)[0], ours[0])


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("mergemix_alpha", {"mergemix_alpha": -1}),
        ("mergemix_alpha", {"mergemix_alpha": float("nan")}),
        ("mixup_alpha", {"mixup_alpha": -1}),
        ("cutmix_alpha", {"cutmix_alpha": "1"}),
        ("cutmix_minmax", {"cutmix_minmax": (0.5,)}),
        ("mergemix_prob", {"mergemix_prob": 1.1}),
        ("switch_prob", {"switch_prob": -1}),
        ("prob", {"prob": float("nan")}),
        ("mode", {"mode": "row"}),
        ("ratio_mode", {"ratio_mode": "mean"}),
        ("select", {"select": "all"}),
        ("label_smoothing", {"label_smoothing": 2}),
        ("num_classes", {"num_classes": 0}),
        ("layer", {"layer": 9}),
        ("saliency_r", {"saliency_r": "half"}),
        ("generator", {"generator": 0}),
        ("image_mean, image_std", {"image_mean": (0.5, 0.5), "image_std": (0.5, 0.5)}),
        ("mixup_alpha, cutmix_alpha, ...", {"mergemix_alpha": 0.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        MergeMix(ENCODER, **{"num_classes": 10} | options)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(ENCODER).__name__ == "VisionTransformer"


@pytest.mark.parametrize("encoder", [None, "vit_tiny_patch16_224", nn.Linear(2, 2)])
def test_bad_encoders_are_named(encoder: object) -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: "):
        MergeMix(encoder)


def test_an_encoder_without_attention_is_named() -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: Conv2d is not supported"):
        MergeMix(nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize(("encoder", "side"), [(tiny_convnet(), 64), (tiny_swin(), 32)])
@pytest.mark.parametrize("options", [{}, {"ratio_mode": "attention"}, {"select": "both", "mode": "elem"}])
def test_models_whose_tokens_cannot_merge_are_mixed_by_their_feature_maps(
    encoder: nn.Module, side: int, options: dict[str, object]
) -> None:
    x, y = torch.rand(4, 3, side, side), torch.arange(4)
    batch = MergeMix(encoder, mergemix_prob=1.0, **options).mix(x, y)
    assert batch.targets.shape == (4, 10) and batch.kind == ("mergemix",) * 4
    torch.testing.assert_close(batch.saliency, mm.saliency_map(encoder, x, r="keep:0.5"))
    own = batch.mask.expand_as(x)
    assert torch.equal(batch.images, torch.where(own, x, x[batch.index]))


@pytest.mark.parametrize(
    ("argument", "x", "y"),
    [
        ("images", torch.rand(2, 4, 64, 64), torch.arange(2)),
        ("images", torch.empty(2, 3, 64, 64, device="meta"), torch.arange(2)),
        ("images", torch.full((2, 3, 64, 64), float("inf")), torch.arange(2)),
        ("labels", torch.rand(2, 3, 64, 64), torch.tensor([0, 10])),
        ("labels", torch.rand(2, 3, 64, 64), torch.arange(3)),
    ],
)
@pytest.mark.parametrize("mergemix_prob", [1.0, 1e-9])
def test_bad_batches_are_named_before_anything_is_drawn(
    argument: str, x: torch.Tensor, y: torch.Tensor, mergemix_prob: float
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        mixer(seed=None, mergemix_prob=mergemix_prob)(x, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_uint8_images_need_statistics() -> None:
    mix = mixer(tiny_torchvision(), seed=None)
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None"):
        mix(noise(2, 3, 64, 64, dtype=torch.uint8), torch.arange(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"saliency_r": [1, 2]}, r"^saliency_r: got \[1, 2\], wanted a list of 3"),
        ({"saliency_r": [99, 0, 0]}, r"^saliency_r\[0\]: got 99, wanted at most"),
        ({"saliency_scale": 2}, "^saliency_scale: got 2, wanted"),
        ({"layer": 7}, "^layer: got 7, wanted"),
    ],
)
def test_settings_of_the_pass_are_named_as_the_user_wrote_them(options: dict[str, object], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        mixer(**options)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"saliency_r": [30, 15, 8]}, 64, r"^saliency_r\[0\]: got 30, wanted at most 8"),
        ({"saliency_r": 2, "layer": 2}, 32, r"^saliency_r: got 2, wanted an r that leaves more than one of 4 patches"),
        ({"saliency_scale": 0.5}, 16, r"^saliency_scale: got 0.5, wanted"),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_images_too_small_for_the_pass_are_refused_before_anything_is_drawn(
    options: dict[str, object], size: int, message: str, share: float
) -> None:
    """An encoder of any size is asked about the images that come, not when the mixer is made."""
    mix = mixer(tiny(dynamic_img_size=True), mergemix_prob=share, **options)
    assert mix.generator is not None
    before = mix.generator.get_state()
    with pytest.raises(MergeMixError, match=message):
        mix.mix(noise(2, 3, size, size), torch.arange(2))
    assert torch.equal(mix.generator.get_state(), before)
    assert mix.mix(noise(2, 3, 160, 160), torch.arange(2)).images.shape == (2, 3, 160, 160)
