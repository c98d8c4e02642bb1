"""The command line's entry: commands, exit codes, completion."""

import argparse
import subprocess
import sys
from typing import ClassVar

import pytest
from torch._utils import ExceptionWrapper

from timm_mergemix import MergeMixError, __version__
from timm_mergemix.cli import main as module
from timm_mergemix.cli.arguments import COMMANDS, Declared
from timm_mergemix.cli.main import main
from timm_mergemix.errors import wrong


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert (__version__ if argv == ["--version"] else "usage: timm-mergemix") in out


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["demo", "--epochs", "many"], ["train"]])
def test_bad_command_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage: timm-mergemix" in capsys.readouterr().err


def test_a_command_that_is_missing_gets_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    err = capsys.readouterr().err
    assert all(f"\n    {name} " in err for name in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "a", "--modl", "x"], "unrecognized arguments: --modl x, did you mean --model?"),
        (["train", "--data", "a", "--model", "x", "--mergmix=1"], "--mergmix=1, did you mean --mergemix?"),
        (["models", "dinov3"], "unrecognized arguments: dinov3\n"),
    ],
)
def test_an_unknown_option_gets_the_usage_of_its_command(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"usage: timm-mergemix {argv[0]} ") and message in err


class Command:
    """A command that ends as it is told."""

    TYPED: ClassVar[dict[str, str]] = {"r": "--merge-r"}
    AGAIN: ClassVar[dict[str, list[str]]] = {"without": ["--fresh"], "plus": ["--resume"]}

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--fresh", action="store_true")

    def run(self, args: argparse.Namespace) -> None:
        if self.error is not None:
            raise self.error


def from_a_worker() -> MergeMixError:
    """An error as torch's loader hands it on from a worker process."""
    try:
        raise MergeMixError("a.png cannot be read: MergeMixError in its name")
    except MergeMixError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(MergeMixError) as handed_on:
        wrapped.reraise()
    return handed_on.value


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, 0, ""),
        (MergeMixError("r: got -1"), 2, "timm-mergemix test: r: got -1\n"),
        (wrong("fresh", 1, "2"), 2, "timm-mergemix test: --fresh: got 1, wanted 2\n"),
        (wrong("r", 1, "2"), 2, "timm-mergemix test: --merge-r: got 1, wanted 2\n"),
        (wrong("layer", 1, "2"), 2, "timm-mergemix test: layer: got 1, wanted 2\n"),
        (from_a_worker(), 2, "timm-mergemix test: a.png cannot be read: MergeMixError in its name\n"),
        (KeyboardInterrupt(), 130, "continue with: timm-mergemix test --resume\n"),
    ],
)
def test_exit_codes(
    error: BaseException | None,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = Command(error)
    monkeypatch.setattr(module, "COMMANDS", {"test": Declared("A test.", command.add_arguments)})
    monkeypatch.setitem(sys.modules, "timm_mergemix.cli.test", command)
    monkeypatch.setattr(sys, "argv", ["timm-mergemix", "test", "--fresh"])
    assert main() == code
    assert capsys.readouterr().err.endswith(message)


def test_python_m_runs_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "timm_mergemix", "train"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "the following arguments are required: --data, --model" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS) and "mergemix-prob" in out


def test_completion_without_its_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--completion", "bash"]) == 2
    assert 'pip install "timm-mergemix[completion]"' in capsys.readouterr().err
