"""Whole runs of scripts that stand in for timm's; `make test-train` does the same with real ones."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import timm
import torch
import yaml

from timm_mergemix import MergeMixError
from timm_mergemix.launch.hooks import _start
from timm_mergemix.launch.run import Run
from timm_mergemix.launch.script import run_script
from timm_mergemix.mix.mixer import Mixer

from .made import parse
from .runs import SCRIPTS, TINY, TRAINING, bare, launch, state_dict, summary

MERGEMIX = ("--mergemix", "1", "--merge-r", "2")
TINY_KWARGS = "{" + ", ".join(item.replace("=", ": ") for item in TINY[1:]) + "}"
everywhere = pytest.mark.parametrize("script", TRAINING)


@everywhere
@pytest.mark.parametrize("flags", [(), ("--mixup", "0.8", "--smoothing", "0.1"), ("--mixup", "1", "--no-prefetcher")])
def test_switched_off_it_is_the_bare_script(script: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    hooked = launch(script, tmp_path / "hooked", "--mergemix", "0", "--merge-r", "0", *flags)
    assert hooked == bare(script, tmp_path / "bare", *flags)


@everywhere
def test_mixing_does_not_reach_validation(script: str, tmp_path: Path) -> None:
    still = ("--lr", "1e-12")
    hooked = launch(script, tmp_path / "hooked", *MERGEMIX, "--no-merge-eval", *still)
    plain = bare(script, tmp_path / "bare", *still)
    assert [line["eval_loss"] for line in hooked] == [line["eval_loss"] for line in plain]
    assert [line["train_loss"] for line in hooked] != [line["train_loss"] for line in plain]


@everywhere
@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--mixup", "0.8", "--cutmix", "1"),
        ("--mixup", "0.8", "--no-prefetcher"),
        ("--no-prefetcher", "--mixup-mode", "elem"),
        ("--bce-loss", "--smoothing", "0.1"),
        ("--bce-loss", "--mixup", "0.8"),
        ("--smoothing", "0.1", "--mixup-mode", "pair"),
        ("--amp",),
        ("--preference", "0.5"),
        ("--preference", "0.5", "--bce-loss", "--mixup", "1", "--amp", "--preference-variant", "hinge"),
        ("--merge-matching", "pitome", "--no-merge-prop-attn", "--merge-r", "keep:0.5"),
    ],
)
def test_settings_work_together(script: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    lines = launch(script, tmp_path, *MERGEMIX, *flags)
    assert len(lines) == 2
    assert all(math.isfinite(line["train_loss"]) and math.isfinite(line["eval_loss"]) for line in lines)
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=4, **yaml.safe_load(TINY_KWARGS)).state_dict()
    saved = state_dict(tmp_path, 1)
    assert {name: value.shape for name, value in saved.items()} == {n: value.shape for n, value in plain.items()}
    assert ("train_preference_accuracy" in lines[0]) == ("--preference" in flags)


def test_both_signatures_train_alike(tmp_path: Path) -> None:
    flags = (*MERGEMIX, "--preference", "0.5", "--mixup", "0.8")
    assert launch("train_old.py", tmp_path / "old", *flags) == launch("train_new.py", tmp_path / "new", *flags)


@everywhere
def test_off_epoch_trains_on_plain_batches(script: str, tmp_path: Path) -> None:
    """From the same weights, an epoch with mixing switched off is an epoch of the bare script."""
    first = ("--mergemix", "1", "--epochs", "1")
    launch(script, tmp_path / "a", *first)
    launch(script, tmp_path / "b", *first)
    resume = ("--resume", str(tmp_path / "a" / "checkpoint-0.pth.tar"))
    off = launch(script, tmp_path / "a", "--mergemix", "1", "--mixup-off-epoch", "1", *resume)
    plain = bare(script, tmp_path / "b", *resume)
    assert off[1]["train_loss"] == pytest.approx(plain[1]["train_loss"], rel=1e-6)


@everywhere
@pytest.mark.parametrize("flags", [(), ("--preference", "1", "--mixup", "0.8")])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(script: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    whole = launch(script, tmp_path / "whole", *MERGEMIX, *flags, "--epochs", "3")
    launch(script, tmp_path / "parts", *MERGEMIX, *flags, "--epochs", "2")
    resume = ("--resume", str(tmp_path / "parts" / "checkpoint-1.pth.tar"))
    assert launch(script, tmp_path / "parts", *MERGEMIX, *flags, "--epochs", "3", *resume) == whole


@everywhere
def test_checkpoints_go_from_hooked_to_bare_and_back(script: str, tmp_path: Path) -> None:
    launch(script, tmp_path, *MERGEMIX, "--epochs", "1")
    bare(script, tmp_path, "--epochs", "2", "--resume", str(tmp_path / "checkpoint-0.pth.tar"))
    launch(script, tmp_path, *MERGEMIX, "--epochs", "3", "--resume", str(tmp_path / "checkpoint-1.pth.tar"))
    assert [line["epoch"] for line in summary(tmp_path)] == [0, 1, 2]


def test_flags_come_from_yaml_and_go_to_args_yaml(tmp_path: Path) -> None:
    settings = {"mergemix": 1.0, "merge_r": "2,1,0", "saliency_r": "total:4", "merge_eval": False, "preference": 0.5}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    flags = [
        "--mergemix",
        "1",
        "--merge-r",
        "2,1,0",
        "--saliency-r",
        "total:4",
        "--no-merge-eval",
        "--preference",
        "0.5",
    ]
    by_flags = launch("train_new.py", tmp_path / "flags", *flags)
    by_yaml = launch("train_new.py", tmp_path / "yaml", "--config", str(tmp_path / "config.yaml"))
    kept = yaml.safe_load((tmp_path / "flags" / "args.yaml").read_text())
    assert settings.items() <= kept.items()
    again = launch("train_new.py", tmp_path / "again", "--config", str(tmp_path / "flags" / "args.yaml"))
    assert by_flags == by_yaml == again


@everywhere
def test_the_args_yaml_of_a_run_with_a_recipe_repeats_it(script: str, tmp_path: Path) -> None:
    first = launch(script, tmp_path / "first", "--mergemix-recipe", "finetune", "--preference", "1")
    config = str(tmp_path / "first" / "args.yaml")
    assert launch(script, tmp_path / "again", "--config", config, "--output", str(tmp_path / "again")) == first
    assert launch(script, tmp_path / "other", "--config", config, "--mixup-prob", "1") != first


def test_a_flag_of_the_scripts_own_is_refused(tmp_path: Path) -> None:
    text = (SCRIPTS / "validate.py").read_text().replace("def main", 'parser.add_argument("--merge-r")\n\n\ndef main')
    (tmp_path / "script.py").write_text(text)
    with pytest.raises(MergeMixError, match=r"^--merge-r: the script has a flag of this name"):
        run_script(tmp_path / "script.py", TINY)


def test_all_rows_of_the_summary_have_its_columns(tmp_path: Path) -> None:
    launch("train_new.py", tmp_path, *MERGEMIX, "--preference", "1", "--mixup-off-epoch", "1")
    assert len({len(line.split(",")) for line in (tmp_path / "summary.csv").read_text().splitlines()}) == 1


ANY_SIZE = ("--model-kwargs", "dynamic_img_size=True", "patch_size=8", "depth=3", "embed_dim=48", "num_heads=3")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--merge-r", "total:100"), "--merge-r: got a total of 100 merges"),
        (("--mergemix", "1", "--saliency-r", "total:100"), "--saliency-r: got a total of 100 merges"),
    ],
)
def test_r_is_checked_for_the_images_that_come(flags: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=message):
        launch("train_new.py", tmp_path / "out", *flags, *ANY_SIZE)
    assert not (tmp_path / "out").exists()


def test_attention_is_not_asked_for_where_nobody_reads_it(tmp_path: Path) -> None:
    flags = ["--mergemix", "1", "--mergemix-prob", "0", "--mixup", "0.8", "--model", "test_resnet"]
    run_script(SCRIPTS / "train_new.py", ["--output", str(tmp_path), *flags])
    assert len(summary(tmp_path)) == 2


def test_a_mixer_by_name_trains_and_prefers(tmp_path: Path) -> None:
    # No encoder of that name is looked for, since resizemix reads none.
    flags = ["--mixer", "resizemix", "--model", "test_resnet", "--preference", "1", "--mergemix-encoder", "no_model"]
    run_script(SCRIPTS / "train_new.py", ["--output", str(tmp_path), *flags])
    assert all(float(row["train_preference_loss"]) > 0 for row in summary(tmp_path))


def test_another_models_attention(tmp_path: Path) -> None:
    encoder = timm.create_model("test_vit", num_classes=7)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    flags = ["--mergemix", "1", "--mergemix-encoder", "test_vit"]
    flags += ["--mergemix-encoder-checkpoint", str(tmp_path / "encoder.pth"), "--model", "test_resnet"]
    run_script(SCRIPTS / "train_new.py", ["--output", str(tmp_path / "out"), *flags])
    assert len(summary(tmp_path / "out")) == 2


@everywhere
def test_a_convnet_is_trained_on_mixes_by_its_own_feature_maps(
    script: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        lines = launch(
            script, tmp_path, "--mergemix", "1", "--preference", "1", "--model", "test_mambaout", "--model-kwargs"
        )
    assert all(math.isfinite(line["train_loss"]) for line in lines)
    assert "num_classes=4), feature map 2 of the model" in caplog.text


@everywhere
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--merge-r", "1", "--model", "test_resnet", "--model-kwargs"), "--merge-r: .*ResNet is not supported"),
        (("--merge-r", "1,2"), "--merge-r: got '1,2', wanted a list of 3"),
        (("--mergemix", "1", "--jsd-loss"), "--jsd-loss"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    script: str, flags: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(MergeMixError, match=message):
        launch(script, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_the_log_says_what_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        launch("train_new.py", tmp_path, *MERGEMIX, "--preference", "1", "--epochs", "1")
    assert "Token merging, r=2: tokens 17, 15, 13, 11" in caplog.text
    assert "Batches are mixed on the device by MergeMix(mergemix: 0.5" in caplog.text
    assert "Validation runs merged, r=2" in caplog.text
    assert "Preference of clean images over their mixes, weight 1; pairs in 50% of the batches" in caplog.text
    assert "Preference: 0 preference_loss" in caplog.text


@pytest.mark.parametrize(("flags", "tokens"), [((), 17), (("--merge-r", "2"), 11), (("--merge-r", "total:3"), 14)])
def test_a_script_that_does_not_train(flags: tuple[str, ...], tokens: int, capsys: pytest.CaptureFixture[str]) -> None:
    run_script(SCRIPTS / "validate.py", [*TINY, *flags])
    assert f"tokens in the last MLP: {tokens}" in capsys.readouterr().out


def test_a_scripted_model_is_refused_there_too() -> None:
    with pytest.raises(MergeMixError, match="--torchscript"):
        run_script(SCRIPTS / "validate.py", ["--torchscript", "--merge-r", "2"])


def test_an_interrupt_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's scripts end their run themselves on Ctrl-C; nothing of ours may swallow it."""

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mixer, "mix", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch("train_new.py", tmp_path, *MERGEMIX)


def test_nothing_in_timm_is_changed(tmp_path: Path) -> None:
    import timm.data
    import timm.models

    before = [dict(vars(module)) for module in (timm, timm.data, timm.models)]
    launch("train_new.py", tmp_path, *MERGEMIX, "--epochs", "1")
    assert [dict(vars(module)) for module in (timm, timm.data, timm.models)] == before


def test_mistyped_keys_are_reported_before_a_check_fails(caplog: pytest.LogCaptureFixture) -> None:
    parsed = parse(mergemix=1.0, mergmix_prob=0.5, merge_mathcing="kth", mergemix_prob=7.0)
    with pytest.raises(MergeMixError, match=r"^--mergemix-prob: got 7"):
        _start(Run(training=True), parsed)
    assert "did you mean mergemix_prob?" in caplog.text and "did you mean merge_matching?" in caplog.text
