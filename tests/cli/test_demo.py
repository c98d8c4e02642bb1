"""`timm-mergemix demo`: its table, files and pictures, and how it resumes after an interruption."""

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from timm_mergemix.cli import demo
from timm_mergemix.cli.main import main

from ..training.made import write_fashion, write_folder

ROOT = Path(__file__).parents[2]
TINY = ["--epochs", "1", "--width", "32", "--depth", "3", "--r", "1", "--batch-size", "8"]


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    data = write_fashion(tmp_path / "data", train=30, test=10, size=16)
    return ["demo", "--data", str(data), "--out", str(tmp_path / "out"), *TINY]


def test_end_to_end(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out, shown = tmp_path / "out", capsys.readouterr()
    assert f"Data: Fashion-MNIST ({tmp_path / 'data'}): 24 training, 6 validation and 10 test images" in shown.out
    assert "epoch 1 of 1" in shown.out and shown.err == ""
    rows = [line for line in shown.out.splitlines() if line.startswith(("method", "MergeMix ", "Mixup+CutMix (timm) "))]
    assert "calibration error" in rows[0] and "13 of 16" in rows[1] and "16 of 16" in rows[2]
    for name in ("mixes.png", "merging.png", "curves.png", "reliability.png", "confidence.png"):
        assert min(Image.open(out / name).size) > 300
    results = json.loads((out / "results.json").read_text())
    assert results["methods"]["mergemix"].keys() >= {"top1", "calibration_error", "seconds_per_epoch", "history"}
    assert results["settings"]["epochs"] == 1 and "preference" not in results["settings"]
    assert (out / "results.md").read_text().startswith("| method |")


def test_the_report_is_whole(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--report"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "report.html" in capsys.readouterr().out
    assert page.count("<img ") == page.count("data:image/png;base64,") == 5
    assert "http" not in page  # nothing is fetched
    assert "Mixup+CutMix (timm)" in page and "calibration error" in page
    settings = page[page.index("Settings: ") :]
    assert "epochs 1, " in settings and "preference" not in settings
    (link,) = re.findall(r'see <a href="(.*?)">docs/results.md</a>', page)
    found = (tmp_path / "out" / link).resolve()
    assert found == ROOT / "docs" / "results.md" and found.is_file()


def test_the_output_says_that_it_does_not_rank_methods(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main([*argv, "--quiet"]) == 0
    assert "MergeMix was no\nbetter than the best of the others, see docs/results.md." in capsys.readouterr().out


def test_with_the_preference(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--preference", "0.3"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MergeMix + preference ")]
    assert len(rows) == 1 and rows[0].count("%") == 2
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["settings"]["preference"] == 0.3
    history = results["methods"]["preference"]["history"][0]
    assert history.keys() >= {"preference", "reward_margin", "preference_accuracy"}
    # The preference is a mean over the batches with pairs, of three in all; in the loss the others count as 0.
    paired = 3 * (history["train_loss"] - history["soft_target"]) / (0.3 * history["preference"])
    assert round(paired) in (1, 2, 3) and paired == pytest.approx(round(paired), rel=1e-4)


def test_quiet_prints_results_only(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--quiet", "--progress"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "epoch 1 of 1" not in shown.out and "Data: Fashion-MNIST" in shown.out


def test_progress(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--progress"]) == 0
    shown = capsys.readouterr()
    assert "MergeMix: 100%" in shown.err and "epoch 1 of 1" not in shown.out


def test_an_interrupted_demo_resumes(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, trained = demo.train_method, []

    def train(method: object, *args: object) -> object:
        if trained:
            raise KeyboardInterrupt
        trained.append(method)
        return real(method, *args)

    monkeypatch.setattr(demo, "train_method", train)
    assert main([*argv, "--fresh"]) == 130
    shown = capsys.readouterr()
    assert "--fresh" not in shown.err and "continue with: timm-mergemix demo --data" in shown.err
    monkeypatch.setattr(demo, "train_method", real)
    assert main(argv) == 0
    # Lines of epochs show what was trained now.
    assert "\nMergeMix: epoch" not in (out := capsys.readouterr().out) and "\nMixup+CutMix (timm): epoch" in out


def test_an_image_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "photos", ("cat", "cow", "dog"), each=10)
    assert main(["demo", "--data", str(data), "--out", str(tmp_path / "out"), *TINY]) == 0
    assert "every fifth image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "no/such/place"], "--data: got 'no/such/place'"),
        (["--epochs", "0"], "--epochs: got 0"),
        (["--width", "50"], "--width: got 50"),
        (["--train-size", "-5"], "--train-size: got -5"),
        (["--device", "abacus"], "--device: 'abacus' cannot be used"),
        (["--seed", "-1"], "--seed: got -1"),
    ],
)
def test_bad_input(
    argv: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, *more]) == 2
    assert capsys.readouterr().err.startswith(f"timm-mergemix demo: {message}")
    assert not list(tmp_path.glob("out/**/last.pt"))


def test_missing_packages_are_reported_first(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(argv) == 2
    assert 'pip install "timm-mergemix[demo]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
