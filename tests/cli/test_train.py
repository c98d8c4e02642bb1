"""`timm-mergemix train`: a run and its files, how it resumes, and what it refuses, naming the flag."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from timm_mergemix.cli import train
from timm_mergemix.cli.main import main
from timm_mergemix.training import loop
from timm_mergemix.training.checkpoint import save_checkpoint

from ..training.made import write_folder


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    data = write_folder(tmp_path / "photos", each=10)
    options = ["--img-size", "32", "--epochs", "2", "--batch-size", "8", "--workers", "0", "--warmup", "0"]
    model = [
        "--model",
        "vit_tiny_patch16_224",
        "--model-kwargs",
        "depth=3",
        "embed_dim=32",
        "num_heads=2",
        "patch_size=8",
    ]
    return ["train", "--data", str(data), "--out", str(tmp_path / "out"), *model, *options]


@pytest.mark.parametrize(
    "more",
    [
        ["--merge-r", "total:4", "--merge-matching", "pitome", "--no-merge-prop-attn"],
        ["--mixer", "cutmix", "--merge-r", "keep:0.5", "--amp"],
        ["--mixer", "timm"],
        ["--preference", "0.5", "--preference-variant", "hinge", "--preference-saliency", "separate"],
        ["--mixer", "none", "--clip-grad", "0", "--auto-augment", "rand-m9-mstd0.5"],
    ],
)
def test_end_to_end(argv: list[str], more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, *more]) == 0
    out, shown = tmp_path / "out", capsys.readouterr().out
    assert "16 training and 4 validation images, 2 classes" in shown and "calibration error" in shown
    said = "Preference of clean images over their mixes, weight 0.5; pairs in 50% of the batches; the other 50% are not"
    assert (said in shown) == ("--preference" in more)
    results = json.loads((out / "results.json").read_text())
    assert len(results["history"]) == 2 and results["result"]["count"] == 4
    pictures = {"curves.png"} if "timm" in more or "none" in more else {"curves.png", "mixes.png"}
    assert {path.name for path in out.iterdir()} == {"last.pt", "best.pt", "results.json", *pictures}
    best = torch.load(out / "best.pt", weights_only=True)
    assert best["epochs_done"] == results["best_epoch"] in (1, 2) and best["model"].keys()
    assert f"The best of 2 epochs is {best['epochs_done']}: top-1 " in shown
    assert ("Preference of clean images over their mixes, weight 0.5; " in shown) == ("--preference" in more)
    assert "Token merging: 17 tokens enter the first block; " in shown or "Token merging: off." in shown
    assert shown.count(" images per second\n") == 3  # two epochs and the header


def test_tokens_and_mixing_are_printed_before_the_training(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--merge-r", "total:4", "--mixup-prob", "0.25", "--epochs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "Token merging: 17 tokens enter the first block; 15, 14, 13 leave the blocks.",
        "Mixing: mergemix in 25 % of the batches, 50 % of those by MergeMix and the others by Mixup.",
    ]
    assert lines[3].startswith("vit_tiny_patch16_224, mergemix: epoch 1 of 1")


@pytest.mark.parametrize("more", [["--merge-r", "keep:0.5"], ["--preference", "0.5"], ["--mixer", "timm"]])
def test_it_learns(argv: list[str], more: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, colour in (("red", (90, 0, 0)), ("blue", (0, 0, 90))):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(40):
            noise = rng.integers(0, 160, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise + np.array(colour, dtype=np.uint8)).save(tmp_path / "colours" / name / f"{i}.png")
    settings = ["--data", str(tmp_path / "colours"), "--epochs", "6", "--lr", "3e-3", *more]
    assert main([*argv, *settings]) == 0
    assert json.loads((tmp_path / "out" / "results.json").read_text())["result"]["top1"] > 0.8  # chance is 0.5


def test_weights_from_a_file(argv: list[str], tmp_path: Path) -> None:
    assert main([*argv, "--lr", "1e-12", "--min-lr", "1e-12"]) == 0
    trained = torch.load(tmp_path / "out" / "last.pt", weights_only=True)["model"]
    torch.save({name: value + 1 for name, value in trained.items()}, tmp_path / "weights.pt")
    more = ["--weights", str(tmp_path / "weights.pt"), "--lr", "1e-12", "--min-lr", "1e-12", "--fresh"]
    assert main([*argv, *more]) == 0
    tuned = torch.load(tmp_path / "out" / "last.pt", weights_only=True)["model"]
    torch.testing.assert_close(tuned["blocks.0.mlp.fc1.weight"], trained["blocks.0.mlp.fc1.weight"] + 1)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["settings"]["weights"].endswith("weights.pt")


def test_resume(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    whole = torch.load(tmp_path / "out" / "last.pt", weights_only=True)["model"]

    def save_and_stop(path: Path, state: dict[str, object]) -> None:
        save_checkpoint(path, state)
        if path.name == "last.pt":
            raise KeyboardInterrupt

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_checkpoint", save_and_stop)
        assert main([*argv, "--fresh"]) == 130
    again = capsys.readouterr().err
    assert "--resume" in again and "--fresh" not in again
    assert main([*argv, "--resume"]) == 0
    resumed = torch.load(tmp_path / "out" / "last.pt", weights_only=True)
    assert resumed["epochs_done"] == 2
    assert all(torch.equal(weight, resumed["model"][name]) for name, weight in whole.items())


def test_an_earlier_run_is_not_overwritten(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--epochs", "1"]) == 0
    assert main([*argv, "--epochs", "1"]) == 2
    assert "--resume to continue it, --fresh to start over" in capsys.readouterr().err
    assert main([*argv, "--epochs", "1", "--resume", "--mixup", "0.3"]) == 2
    assert capsys.readouterr().err.endswith("other settings: mixup (0.8 there, 0.3 now)\n")
    assert main([*argv, "--fresh", "--resume"]) == 2
    assert main([*argv, "--epochs", "1", "--resume", "--device", "cpu"]) == 0
    assert torch.load(tmp_path / "out" / "last.pt", weights_only=True)["epochs_done"] == 1


def test_a_finished_run_can_be_continued_with_more_epochs(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (["--epochs", "1"], ["--epochs", "2", "--resume"]):
        assert main([*argv, *more]) == 0
    assert "a run of 1 epochs, 1 of them finished, continues as one of 2;" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["history"]) == 2
    assert main([*argv, "--epochs", "1", "--resume"]) == 2
    assert "--epochs: got 1, wanted at least 2" in capsys.readouterr().err


def test_without_the_extras(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "installed", lambda package: False)
    assert main([*argv, "--epochs", "1"]) == 0
    assert 'pip install "timm-mergemix[viz]"' in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"last.pt", "best.pt", "results.json"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "no/such/place"], "--data: got"),
        (["--model", "vit_tini"], "--model: got 'vit_tini'"),
        (["--model", "test_resnet", "--model-kwargs", "--mixer", "none", "--merge-r", "2"], "ResNet is not supported"),
        (["--merge-r", "many"], "wanted 13"),
        (["--merge-r", "some:5"], "--merge-r: got"),
        (["--mixer", "mixdown"], "invalid choice"),
        (["--mixer", "timm", "--preference", "1"], "--preference: got 1.0"),
        (["--mixer", "mixup", "--preference", "1", "--preference-saliency", "winner"], "the mixer reads no saliency"),
        (["--epochs", "0"], "--epochs: got 0"),
        (["--mergemix", "-1"], "--mergemix: got -1"),
        (["--saliency-scale", "0.01"], "--saliency-scale: got 0.01"),
        (["--merge-r", "1,2"], "--merge-r: got"),
        (["--saliency-r", "1,2"], "--saliency-r: got"),
        (["--mixer", "cutmix", "--ratio-mode", "area"], "--ratio-mode: got 'area', wanted none, since the mixer is"),
        (["--mixer", "timm", "--batch-size", "7"], "even number"),
        (["--mixer", "timm", "--mixup", "0", "--cutmix", "0"], "got 0 for every way of mixing"),
        (["--model-kwargs", "foo"], "wanted KEY=VALUE each"),
    ],
)
def test_bad_input(
    argv: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_cannot_be_resumed(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*argv, "--resume"]) == 2
    wanted = "wanted the directory of a run to continue, or no --resume"
    assert capsys.readouterr().err == f"timm-mergemix train: --out: {out} is not a directory, {wanted}\n"
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").touch()
    assert main([*argv, "--resume"]) == 2
    assert f"--out: {out} has no last.pt, {wanted}" in capsys.readouterr().err


def test_an_empty_folder_counts_as_a_run_stopped_in_its_first_epoch(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", interrupt)
        assert main([*argv, "--epochs", "1"]) == 130
    assert "--resume" in capsys.readouterr().err
    assert main([*argv, "--epochs", "1", "--resume"]) == 0
    assert f"{tmp_path / 'out'} has no finished epoch to continue from; a new run starts." in capsys.readouterr().out


def test_a_run_resumes_only_with_the_same_images(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--epochs", "1"]) == 0
    image = next((tmp_path / "photos").rglob("*.png"))
    image.rename(image.with_name("another.png"))
    assert main([*argv, "--epochs", "1", "--resume"]) == 2
    assert "other settings: images" in capsys.readouterr().err


def test_only_a_best_checkpoint_counts_as_a_run_stopped_between_its_two_checkpoints(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_and_stop(path: Path, state: dict[str, object]) -> None:
        save_checkpoint(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_checkpoint", save_and_stop)
        assert main([*argv, "--epochs", "1"]) == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["best.pt"]
    assert main([*argv, "--epochs", "1", "--resume"]) == 0


@pytest.mark.parametrize("mixer", ["mergemix", "cutmix"])
def test_the_mixes_that_are_drawn_are_mixes(
    mixer: str, argv: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = []
    monkeypatch.setattr(train, "mix_grid", lambda batch, *rest: drawn.append(batch) or Figure())
    assert main([*argv, "--mixer", mixer, "--mixup-prob", "1e-9"]) == 0
    assert set(drawn[0].kind) == {mixer}


def test_missing_weights_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--weights", "no/such/file"]) == 2
    assert "--weights: got 'no/such/file', wanted the path of a file" in capsys.readouterr().err
