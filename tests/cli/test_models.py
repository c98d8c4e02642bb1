"""`timm-mergemix models`: which models merge, which do not, and why."""

import json
import re
import subprocess
import sys

import pytest
import timm

from timm_mergemix.cli import models
from timm_mergemix.cli.main import main
from timm_mergemix.merge.find.support import Support

NAMES = ["eva02_tiny_patch14_224", "resnet18", "test_vit", "tnt_s_patch16_224", "vit_tiny_patch16_224"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small timm."""
    real = timm.list_models

    def list_models(pattern: str = "") -> list[str]:
        return [name for name in real(pattern) if name in NAMES]

    monkeypatch.setattr(timm, "list_models", list_models)


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["models", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "--filter", "vit_tiny_patch16_*4")
    assert out.splitlines()[:3] == [
        "model                 merges in   family",
        "--------------------  ----------  ----------------------",
        "vit_tiny_patch16_224  12 x Block  timm VisionTransformer",
    ]
    count = len(timm.list_models("vit_tiny_patch16_*4"))
    models = f"Of the models of timm {timm.__version__} whose name fits 'vit_tiny_patch16_*4'"
    assert f"{models}, {count} of {count} are supported." in out


@pytest.mark.usefixtures("few")
def test_models_are_grouped_by_family_with_counts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    first = [line.split()[0] for line in lines[2:5]]
    assert first == ["test_vit", "vit_tiny_patch16_224", "eva02_tiny_patch14_224"]  # the larger family first
    assert "timm VisionTransformer       2" in lines and "timm Eva                     1" in lines
    assert lines[-1] == f"3 of 5 models of timm {timm.__version__} are supported; --refused lists the others."


def test_the_help_says_how_to_ask_about_other_models(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "--help").split())
    assert text.endswith("timm_mergemix.supported(model) answers for a model of torchvision or transformers.")


@pytest.mark.usefixtures("few")
def test_refused(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--refused").splitlines()
    assert re.fullmatch(
        r"resnet18 +feature maps of stride 2, 4, 8, 16, 32  there is no merging class for ResNet", lines[2]
    )
    assert lines[3].startswith("tnt_s_patch16_224  ")
    assert (
        lines[-1]
        == f"2 of 5 models of timm {timm.__version__} are not supported; MergeMix reads the feature maps of 2 of them."
    )


def test_nothing_to_list(capsys: pytest.CaptureFixture[str]) -> None:
    one = f"Of the models of timm {timm.__version__} whose name fits"
    text = shown(capsys, "--filter", "resnet18")
    assert "resnet18  feature maps of stride 2, 4, 8, 16, 32  there is no merging class for ResNet\n" in text
    end = "1 of 1 are not supported; MergeMix reads the feature maps of 1 of them."
    assert text.endswith(f"\n{one} 'resnet18', {end}\n")
    none = f"{one} 'test_vit', 0 of 1 are not supported.\n"
    assert shown(capsys, "--filter", "test_vit", "--refused") == none


@pytest.mark.usefixtures("few")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    objects = [json.loads(line) for line in shown(capsys, "--json").splitlines()]
    assert [value["name"] for value in objects] == NAMES
    assert objects[0] == {
        "name": "eva02_tiny_patch14_224",
        "family": "timm Eva",
        "blocks": 12,
        "reason": None,
        "classes": {"EvaBlock": 12},
        "strides": [],
    }
    assert objects[1]["strides"] == [2, 4, 8, 16, 32]
    assert objects[1]["family"] is None and objects[1]["reason"] == "there is no merging class for ResNet"
    refused = shown(capsys, "--json", "--refused").splitlines()
    assert [json.loads(line)["name"] for line in refused] == ["resnet18", "tnt_s_patch16_224"]


@pytest.mark.parametrize(
    ("pattern", "suggestion"),
    [("deit_tiny_patch16_225", "such as deit_tiny_patch16_224"), ("dinov3", "such as '*dinov3*'"), ("@@@", "models\n")],
)
def test_a_filter_that_matches_nothing(pattern: str, suggestion: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "dinov3" in pattern and not timm.list_models("*dinov3*"):
        pytest.skip("this release of timm has no DINOv3")
    assert main(["models", "--filter", pattern]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"timm-mergemix models: --filter: got '{pattern}', wanted a pattern") and suggestion in err


def test_an_empty_filter_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--filter", ""]) == 2
    assert "--filter: got ''" in capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--progress"]) == 0
    out, err = capsys.readouterr()
    assert "5/5" in err and "model" in err and "5/5" not in out


@pytest.mark.usefixtures("few")
def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def supported(name: str) -> Support:
        if name == "test_vit":
            raise KeyboardInterrupt
        return Support(name, "family", 1, classes=(("Block", 1),))

    monkeypatch.setattr(models, "supported", supported)
    assert main(["models"]) == 130
    out, err = capsys.readouterr()
    assert err == "\nInterrupted. Models were only looked at; start again with: timm-mergemix models\n"
    assert out == ""


def test_the_output_may_be_closed_early() -> None:
    command = [sys.executable, "-m", "timm_mergemix", "models", "--json", "--filter", "vit_tiny_patch16_*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["name"].startswith("vit_tiny")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
