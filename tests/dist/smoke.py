"""An installed archive works where only its hard dependencies are: run by `make dist-test` in a clean environment."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module, metadata
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import timm
import torch

import timm_mergemix as mm
from timm_mergemix.cli.main import main as command_line

PROJECT, PACKAGE = "timm-mergemix", "timm_mergemix"
OF_EXTRAS = ("hypothesis", "matplotlib", "mlxtend", "pytest", "shtab", "sklearn", "torchmetrics", "transformers")
NEED_EXTRAS = {"timm_mergemix.metrics.classes", "timm_mergemix.viz.notebook"}
NEED_HYPOTHESIS = "timm_mergemix.testing."
NEED_TRANSFORMERS = (
    "timm_mergemix.merge.families.hf.",
    "timm_mergemix.merge.vlm.",
    "timm_mergemix.training.vqa.trainer",
    "timm_mergemix.vlm.trainer",
)


def main() -> None:
    """Runs all checks; an error ends it."""
    checks = [check for name, check in globals().items() if name.startswith("check_")]
    for check in checks:
        check()
        print(f"{check.__name__.removeprefix('check_').replace('_', ' ')}: right", flush=True)


def check_the_environment_is_clean() -> None:
    assert [name for name in OF_EXTRAS if find_spec(name)] == []
    assert Path(mm.__file__).is_relative_to(sys.prefix), mm.__file__
    assert not (Path.cwd() / PACKAGE).exists()


def check_the_metadata() -> None:
    found = metadata.metadata(PROJECT)
    assert found["Version"] == mm.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.10"
    assert {"viz", "demo", "metrics", "completion", "testing"} <= set(found.get_all("Provides-Extra"))
    assert "## " in str(found.get_payload() or found["Description"]), "the README is missing"


def check_the_files() -> None:
    files = [path.as_posix() for path in metadata.files(PROJECT) or []]
    assert f"{PACKAGE}/py.typed" in files
    assert any(path.endswith("/licenses/LICENSE") for path in files), files
    others = [path for path in files if not path.startswith(PACKAGE) and Path(path).stem != PROJECT]
    assert others == [], f"beside the package, its metadata and its command: {others}"
    assert not any(find_spec(name) for name in ("benchmarks", "tools"))


def check_all_public_names() -> None:
    for name in mm.__all__:
        assert getattr(mm, name) is not None, name
    for module in (mm.functional, mm.transforms, mm.viz):
        for name in module.__all__:
            assert getattr(module, name) is not None, name


def check_all_modules() -> None:
    lacking = set()
    for module in pkgutil.walk_packages(mm.__path__, f"{PACKAGE}."):
        try:
            import_module(module.name)
        except ImportError:
            lacking.add(module.name)
    others = {name for name in lacking if not name.startswith((*NEED_TRANSFORMERS, NEED_HYPOTHESIS))}
    assert others == NEED_EXTRAS, others
    assert len(lacking - others) > 1


def check_token_merging() -> None:
    model, images = tiny(), torch.randn(2, 3, 160, 160)
    before = model(images)
    mm.patch(model, r=8)
    tokens = mm.merge_info(model).tokens
    assert tokens[0] - tokens[-1] == 8 * len(model.blocks), tokens
    assert not torch.equal(model(images), before)
    mm.unpatch(model)
    assert torch.equal(model(images), before)


def check_mixing() -> None:
    model, images, labels = tiny(), torch.randn(4, 3, 160, 160), torch.arange(4)
    mix = mm.MergeMix(model, num_classes=10)
    mixed, targets = mix(images, labels)
    assert mixed.shape == images.shape and targets.shape == (4, 10)
    mm.SoftTargetLoss()(model.train()(mixed), targets).backward()


def check_saliency() -> None:
    saliency = mm.saliency_map(tiny(), torch.randn(2, 3, 160, 160))
    assert saliency.shape == (2, 10, 10)
    assert torch.allclose(saliency.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)


def check_the_command_line() -> None:
    version = f"{PROJECT} {mm.__version__}\n"
    assert ran(str(Path(sys.executable).parent / PROJECT), "--version") == version
    assert ran(sys.executable, "-m", PACKAGE, "--version") == version
    assert "usage" in ran(sys.executable, "-m", f"{PACKAGE}.launch", "--help").lower()
    for arguments in ([], ["demo"], ["train"], ["launch"], ["show"], ["models"], ["tune"]):
        assert said(*arguments, "--help").startswith(f"usage: {PROJECT}"), arguments
    assert "test_vit2" in said("models", "--filter", "test_vit*")


def check_missing_extras_say_how_to_install_them() -> None:
    assert 'pip install "timm-mergemix[viz]"' in said("show", "image.png", code=2)
    assert 'pip install "timm-mergemix[demo]"' in said("demo", code=2)
    assert 'pip install "timm-mergemix[completion]"' in said("--completion", "bash", code=2)
    history = [{"epoch": 0, "train_loss": 1.0, "val_top1": 0.5}]
    assert 'pip install "timm-mergemix[viz]"' in error_of(lambda: mm.viz.learning_curves({"run": history}))
    assert 'pip install "timm-mergemix[metrics]"' in error_of(lambda: mm.metrics.BrierScore)
    assert 'pip install "timm-mergemix[testing]"' in error_of(lambda: mm.testing.check_mixer)


def tiny() -> torch.nn.Module:
    """A small model with random weights, on images of 160 pixels with 10 x 10 patches."""
    return timm.create_model("test_vit", num_classes=10).eval()


def error_of(use: Callable[[], object]) -> str:
    """The message of the error that a missing package gives."""
    try:
        use()
    except mm.MergeMixError as error:
        return str(error)
    raise AssertionError("no error")


def ran(*command: str) -> str:
    """What a command prints in a process of its own."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def said(*arguments: str, code: int = 0) -> str:
    """What the command line prints in this process, which must end with the exit code."""
    printed = StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        ended = command_line(arguments)
    assert ended == code, f"{arguments}: exit code {ended}\n{printed.getvalue()}"
    return printed.getvalue()


if __name__ == "__main__":
    main()
