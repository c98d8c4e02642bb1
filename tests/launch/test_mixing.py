"""The mixer that a request asks for: how often each kind comes, whose attention is read, and where draws come from."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from timm_mergemix import MergeMix, MergeMixError, Mixup, register_mixer
from timm_mergemix.launch.mixing import build_encoder, build_mixer, epoch_generator
from timm_mergemix.mixers import registry

from .made import ask, tiny

KINDS = {"mergemix", "mixup", "cutmix", "none"}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--mergemix", "1"], {"mergemix": 0.5, "none": 0.5}),
        (["--mergemix", "1", "--mergemix-prob", "1"], {"mergemix": 1.0}),
        (["--mergemix", "1", "--mergemix-prob", "0.25"], {"mergemix": 0.25, "none": 0.75}),
        (["--mergemix", "1", "--mixup", "0.8"], {"mergemix": 0.5, "mixup": 0.5}),
        (["--mergemix", "1", "--mixup", "0.8", "--mixup-prob", "0.5"], {"mergemix": 0.25, "mixup": 0.25, "none": 0.5}),
        (["--mergemix-recipe", "scratch"], {"mergemix": 0.25, "mixup": 0.25, "none": 0.5}),
        (["--mergemix-recipe", "scratch", "--mixup", "0"], {"mergemix": 0.25, "none": 0.75}),
        (["--mergemix", "1", "--mixup-prob", "0.5", "--mergemix-prob", "1"], {"mergemix": 0.5, "none": 0.5}),
        (
            ["--mergemix", "1", "--mixup", "0.8", "--cutmix", "1", "--mergemix-prob", "0.2"],
            {"mergemix": 0.2, "mixup": 0.4, "cutmix": 0.4},
        ),
        (
            ["--mergemix", "1", "--mixup", "1", "--cutmix", "1", "--mergemix-prob", "0", "--mixup-switch-prob", "0.9"],
            {"mixup": 0.1, "cutmix": 0.9},
        ),
        (["--preference", "1", "--cutmix", "1", "--mixup-prob", "0.5"], {"cutmix": 0.5, "none": 0.5}),
        (["--mixer", "cutmix", "--mixup-prob", "0.3"], {"cutmix": 0.3, "none": 0.7}),
    ],
)
def test_how_often_each_kind_comes(flags: list[str], wanted: dict[str, float]) -> None:
    mixer = build_mixer(ask(*flags, "--mixup-mode", "elem"), tiny(), None)
    mixer.generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(1000, 3, 32, 32), torch.arange(1000) % 4
    counted = Counter(mixer.mix(images, labels).kind)
    for kind in KINDS:
        assert counted[kind] / 1000 == pytest.approx(wanted.get(kind, 0.0), abs=0.06)


def test_the_settings_arrive() -> None:
    flags = ["--mergemix", "0.7", "--saliency-r", "2", "--layer", "0", "--ratio-mode", "attention"]
    flags += ["--saliency-scale", "0.5", "--select", "both", "--no-divide"]
    mixer: Any = build_mixer(ask(*flags, "--smoothing", "0.2", "--mixup-mode", "pair"), tiny(), None)
    assert isinstance(mixer, MergeMix)
    config = mixer.saliency.config
    assert (config.saliency_r, config.divide, mixer.saliency.layer) == ("2", False, 0)
    assert (mixer.mode, mixer.label_smoothing) == ("pair", 0.2)
    assert mixer.saliency.size.scale == 0.5
    own = mixer.blends[0][0].config
    assert (own.mergemix_alpha, own.ratio_mode, own.select) == (0.7, "attention", "both")
    assert mixer.num_classes == 4
    assert type(build_mixer(ask("--preference", "1", "--mixup", "1"), tiny(), None)) is Mixup


def test_a_registered_mixer_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    seen: list[Any] = []

    @register_mixer("mine")
    def mine(encoder: torch.nn.Module, **options: Any) -> Mixup:
        seen.append(encoder)
        return Mixup(**options)

    model, other = tiny(), tiny()
    mixer = build_mixer(ask("--mixer", "mine", "--mixup-mode", "pair", "--smoothing", "0.2"), model, None)
    assert (mixer.mode, mixer.label_smoothing, mixer.prob, mixer.num_classes) == ("pair", 0.2, 1.0, 4)
    build_mixer(ask("--mixer", "mine"), model, other)
    assert seen == [model, other]
    register_mixer("bare")(lambda num_classes=3: Mixup(num_classes=num_classes))
    with pytest.raises(MergeMixError, match=r"--mixer bare: create_mixer\('bare', ...\): .*argument 'prob'"):
        build_mixer(ask("--mixer", "bare"), model, None)


def test_classes_are_the_models_where_none_are_given() -> None:
    request = replace(ask("--mergemix", "1"), num_classes=None)
    assert build_mixer(request, tiny(), None).num_classes == 4


@pytest.mark.parametrize("flags", [["--layer", "9"], ["--saliency-r", "1,2"], ["--saliency-r", "total:99"]])
def test_what_does_not_fit_the_model_is_refused(flags: list[str]) -> None:
    with pytest.raises(MergeMixError, match=f"^{flags[0]}: got"):
        build_mixer(ask("--mergemix", "1", *flags), tiny(), None)


def test_a_mixer_by_name_hears_how_images_are_normalised_for_another_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    register_mixer("reader")(MergeMix)
    request = ask("--mixer", "reader", "--mergemix-encoder", "test_vit")
    encoder = tiny()
    encoder.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "input_size": (3, 64, 64)}
    named, own = build_mixer(request, tiny(), encoder), build_mixer(ask("--mergemix", "1"), tiny(), encoder)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(named.saliency(x), own.saliency(x))
    assert not torch.equal(named.saliency(x), MergeMix(encoder, 4).saliency(x))


def test_an_encoder_that_cannot_be_read_is_named_by_its_flag() -> None:
    other = nn.Conv2d(3, 3, 1)
    other.num_classes = 4
    with pytest.raises(MergeMixError, match=r"^--mergemix: .*Conv2d"):
        build_mixer(ask("--mergemix", "1"), other, None)
    with pytest.raises(MergeMixError, match=r"^--mergemix-encoder: .*Conv2d"):
        build_mixer(ask("--mergemix", "1", "--mergemix-encoder", "x"), tiny(), other)


def test_a_convnet_may_be_the_encoder_of_another_model() -> None:
    request = ask("--mergemix", "1", "--mergemix-prob", "1", "--mergemix-encoder", "test_resnet")
    mixer: Any = build_mixer(request, tiny(), timm.create_model("test_resnet").eval())
    assert mixer.mix(torch.rand(4, 3, 64, 64), torch.arange(4)).saliency.shape == (4, 4, 4)


def test_an_encoder_with_weights_from_a_file(tmp_path: Path) -> None:
    saved = timm.create_model("test_vit", num_classes=7)
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "encoder.pth.tar")
    flags = ["--mergemix", "1", "--mergemix-prob", "1", "--mergemix-encoder", "test_vit"]
    request = ask(*flags, "--mergemix-encoder-checkpoint", str(tmp_path / "encoder.pth.tar"))
    state = torch.get_rng_state()
    encoder: Any = build_encoder(request)
    assert torch.equal(torch.get_rng_state(), state)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert torch.equal(encoder.blocks[0].attn.qkv.weight, saved.blocks[0].attn.qkv.weight)
    model = timm.create_model("test_resnet", num_classes=4)
    mixer: Any = build_mixer(request, model, encoder)
    batch = mixer.mix(torch.rand(4, 3, 32, 32), torch.arange(4))
    assert batch.saliency.shape[0] == 4
    assert mixer.saliency.backbone.model is encoder


def test_images_of_the_run_are_converted_for_the_encoder() -> None:
    request = ask(
        "--mergemix", "1", "--mergemix-encoder", "x", "--mean", "0.1", "0.2", "0.3", "--std", "0.5", "0.5", "0.5"
    )
    mixer: Any = build_mixer(request, tiny(), tiny())
    assert mixer.saliency.input.image[0].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_no_encoder_is_asked_for() -> None:
    assert build_encoder(ask("--mergemix", "1")) is None


def test_a_file_comes_before_the_weights_of_a_hub_or_a_folder(tmp_path: Path) -> None:
    saved = timm.create_model("test_vit", num_classes=7)
    config = {"architecture": "test_vit", "num_classes": 7, "pretrained_cfg": {"classifier": "head"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(timm.create_model("test_vit", num_classes=7).state_dict(), tmp_path / "pytorch_model.bin")
    torch.save(saved.state_dict(), tmp_path / "mine.pth")
    flags = ["--mergemix-encoder", f"local-dir:{tmp_path}", "--mergemix-encoder-checkpoint", str(tmp_path / "mine.pth")]
    encoder: Any = build_encoder(ask("--mergemix", "1", *flags))
    assert torch.equal(encoder.blocks[0].attn.qkv.weight, saved.blocks[0].attn.qkv.weight)


@pytest.mark.parametrize("junk", ["junk.pth", "junk.safetensors"])
def test_an_encoder_whose_file_cannot_be_loaded_is_refused(junk: str, tmp_path: Path) -> None:
    (tmp_path / junk).write_bytes(b"junk" * 100)
    flags = ["--mergemix-encoder", "test_vit", "--mergemix-encoder-checkpoint", str(tmp_path / junk)]
    with pytest.raises(MergeMixError, match=r"^--mergemix-encoder: test_vit cannot be loaded: \w+: .*\w"):
        build_encoder(ask("--mergemix", "1", *flags))


def test_an_encoder_that_timm_does_not_know_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^--mergemix-encoder: got 'no_model', wanted the name of a timm model"):
        build_encoder(ask("--mergemix", "1", "--mergemix-encoder", "no_model"))


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    flags = ["--mergemix-encoder", "test_vit", "--mergemix-encoder-checkpoint", str(tmp_path / "other.pth")]
    with pytest.raises(MergeMixError, match=r"^--mergemix-encoder-checkpoint: .*other\.pth lacks .* of test_vit"):
        build_encoder(ask("--mergemix", "1", *flags))


def test_an_encoder_of_other_channels_is_refused() -> None:
    images = {"in_chans": 1, "img_size": 32, "mean": [0.5], "std": [0.5]}
    request = ask("--mergemix", "1", "--mergemix-encoder", "x", **images)
    with pytest.raises(MergeMixError, match="--mergemix-encoder: it takes images of 3 channels, the script has 1"):
        build_mixer(request, tiny(in_chans=1), tiny())


@given(seed=st.integers(-(2**31), 2**31), rank=st.integers(0, 1000), epoch=st.integers(0, 1000))
def test_each_epoch_of_each_process_has_draws_of_its_own(seed: int, rank: int, epoch: int) -> None:
    def draw(*key: int) -> int:
        return int(torch.randint(2**62, (1,), generator=epoch_generator(*key)))

    drawn = draw(seed, rank, epoch)
    assert drawn == draw(seed, rank, epoch)
    others = [(seed + 1, rank, epoch), (seed, rank + 1, epoch), (seed, rank, epoch + 1), (seed, epoch, rank)]
    assert all(draw(*key) != drawn for key in others if key != (seed, rank, epoch))
