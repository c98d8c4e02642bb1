"""`timm-mergemix show`: which pictures it draws from which input, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from matplotlib.figure import Figure
from PIL import Image

from timm_mergemix.cli import show
from timm_mergemix.cli.arguments import PICTURES
from timm_mergemix.cli.main import main
from timm_mergemix.cli.show import DRAW

from ..training.made import write_folder

SHOW = ["show", "--model", "test_vit", "--no-pretrained"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    directory = tmp_path / "images"
    directory.mkdir()
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "c.png"):
        Image.fromarray(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)).save(directory / name)
    (directory / "notes.txt").write_text("no image")
    return directory


def test_all_pictures(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*SHOW, str(pictures), "--out", str(out), "--format", "png", "svg"]) == 0
    names = {f"{name}.{suffix}" for name in ("mix", "merge", "schedule") for suffix in ("png", "svg")}
    assert {path.name for path in out.iterdir()} == names
    said = capsys.readouterr().out
    assert said.startswith("Wrote ") and all(str(out / name) in said for name in names)
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 10


def test_the_same_seed_draws_the_same_mix(pictures: Path, tmp_path: Path) -> None:
    drawn = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(number)
        assert main([*SHOW, str(pictures), "--what", "mix", "--seed", str(seed), "--out", str(out)]) == 0
        with Image.open(out / "mix.png") as image:
            drawn.append(np.asarray(image))
    assert drawn[0].shape == drawn[1].shape and (drawn[0] == drawn[1]).all()
    assert drawn[0].shape != drawn[2].shape or (drawn[0] != drawn[2]).any()


def test_images_of_class_folders_have_the_captions_of_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(show, "mix_grid", lambda batch, names, *rest: drawn.append((batch, names)) or Figure())
    folder = write_folder(tmp_path / "val", each=3, size=32)
    assert main([*SHOW, str(folder), "--what", "mix", "--rows", "4", "--out", str(tmp_path / "out")]) == 0
    ((batch, names),) = drawn
    assert [names[label] for label in batch.labels] == ["cat", "dog", "cat", "dog"]
    assert batch.targets.shape == (4, 2)


def test_a_single_image_gets_no_mix(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*SHOW, str(pictures / "a.jpg"), "--what", "mix", "merge", "--out", str(out)]) == 0
    assert "no mix" in capsys.readouterr().out and [path.name for path in out.iterdir()] == ["merge.png"]
    assert main([*SHOW, str(pictures / "a.jpg"), "--what", "mix", "--out", str(out)]) == 2
    assert "at least two" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:r=4 is clipped in")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "resnet18", "--what", "merge"], "ResNet is not supported"),
        (["--r", "99,99"], "--r: got"),
        (["--what", "schedule", "mix", "--img-size", "48", "--r", "4"], "--r: got"),
        (["--rows", "0"], "--rows: got 0"),
    ],
)
def test_bad_input_draws_nothing(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    out = tmp_path / "out"
    assert main([*SHOW, str(pictures), "--out", str(out), *more]) == 2
    err = capsys.readouterr().err
    assert any(part in err for part in message.split("|")) and not out.exists()


def test_a_file_that_is_not_an_image(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHOW, str(pictures / "notes.txt"), str(pictures), "--out", str(tmp_path / "out")]) == 2
    assert "cannot be read as an image" in capsys.readouterr().err


@pytest.mark.parametrize("directory", [False, True])
def test_curves_need_no_model(directory: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "summary.csv").write_text("epoch,train_loss,eval_loss,eval_top1\n0,2.0,1.9,30.0\n1,1.5,1.4,50.0\n")
    (run / "mixes.png").write_bytes(b"a picture that the run has drawn")
    given = [str(run if directory else run / "summary.csv")]
    assert main(["show", *given, "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["curves.png"]
    assert main(["show", str(tmp_path), "--what", "curves", "--out", str(tmp_path / "out")]) == 2
    assert "to draw curves" in capsys.readouterr().err


def test_a_trained_model_on_a_folder_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "val", each=6, size=32)
    torch.save({"model": timm.create_model("test_vit", num_classes=2).state_dict()}, tmp_path / "last.pt")
    command = [*SHOW, str(tmp_path / "val"), "--what", "reliability", "confidence", "--out", str(tmp_path / "out")]
    assert main(command) == 2 and "--checkpoint: got none" in capsys.readouterr().err
    assert main([*command, "--checkpoint", str(tmp_path / "last.pt")]) == 0
    every = [*SHOW, str(tmp_path / "val"), "--checkpoint", str(tmp_path / "last.pt"), "--out", str(tmp_path / "every")]
    assert main(every) == 0
    assert {path.stem for path in (tmp_path / "every").iterdir()} == set(DRAW)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"reliability.png", "confidence.png"}
    grids = [str(path) for path in (tmp_path / "val").iterdir()]
    assert (
        main([*SHOW, *grids, "--what", "merge", "--checkpoint", str(tmp_path / "last.pt"), "--out", str(tmp_path)]) == 0
    )
    torch.save({"model": timm.create_model("test_vit", num_classes=3).state_dict()}, tmp_path / "other.pt")
    assert main([*command, "--checkpoint", str(tmp_path / "other.pt")]) == 2
    assert "--checkpoint: " in capsys.readouterr().err


def test_a_model_whose_tokens_cannot_merge_shows_its_mix(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["show", "--model", "test_resnet", "--no-pretrained", str(pictures), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mix.png"]
    assert "The tokens of test_resnet cannot merge: only a mix is drawn" in "".join(capsys.readouterr())
    assert main([*command, "--what", "merge"]) == 2
    assert "ResNet is not supported" in capsys.readouterr().err


def test_a_trained_convnet_on_a_folder_of_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "val", each=6, size=64)
    torch.save({"model": timm.create_model("test_resnet", num_classes=2).state_dict()}, tmp_path / "last.pt")
    command = ["show", "--model", "test_resnet", str(tmp_path / "val"), "--out", str(tmp_path / "out")]
    assert main([*command, "--checkpoint", str(tmp_path / "last.pt")]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"mix", "reliability", "confidence"}


def test_every_choice_of_what_can_be_drawn() -> None:
    assert (*DRAW, "curves") == PICTURES
