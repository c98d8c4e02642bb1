"""Every program has a name, help and exit codes, and says after Ctrl-C how to resume."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.command import build_parser, find_command, main
from timm_mergemix import MergeMixError

ROOT = Path(__file__).parents[2]
PROGRAMS = [
    f"benchmarks.{name}"
    for name in (
        "choosing_r",
        "choosing_r_page",
        "dinov2_weights",
        "feature_maps",
        "gpu",
        "off_the_shelf",
        "peers_invariants",
        "performance_page",
        "power",
        "questions_page",
        "results_page",
        "segmentation",
        "speed",
        "study",
        "target_error",
        "visible_saliency",
        "vlm",
        "vqa",
    )
]


def program(error: BaseException | None = None, **names: object) -> ModuleType:
    """A program with one option that raises an error."""

    def run(args: argparse.Namespace) -> None:
        if error is not None:
            raise error
        print(args.size)

    made = ModuleType("benchmarks.made")
    made.__dict__.update(SUMMARY="A program.", add_arguments=lambda parser: parser.add_argument("--size"), run=run)
    made.__dict__.update(names)
    return made


def test_errors_give_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(program(), ["--size", "3"]) == 0 and capsys.readouterr().out == "3\n"
    assert main(program(), ["--help"]) == 0 and "python -m benchmarks.made" in capsys.readouterr().out
    assert main(program(), ["--colour", "3"]) == 2
    capsys.readouterr()
    assert main(program(MergeMixError("too small", argument="size")), []) == 2
    assert capsys.readouterr().err == "python -m benchmarks.made: --size: too small\n"


def test_after_an_interrupt_the_command_to_resume_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted = KeyboardInterrupt()
    assert main(program(interrupted, GO_ON="Go on with"), ["--size", "a b"]) == 130
    assert "Go on with: python -m benchmarks.made --size 'a b'\n" in capsys.readouterr().err
    assert main(program(interrupted, AGAIN={"plus": ["--resume"]}), []) == 130
    assert capsys.readouterr().err.endswith("python -m benchmarks.made --resume\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_parser_with_its_name(name: str) -> None:
    assert build_parser(find_command(name)).prog == f"python -m {name}"


def test_every_program_is_in_the_list() -> None:
    files = [path for path in (ROOT / "benchmarks").rglob("*.py") if "if __name__" in path.read_text()]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__") for path in files}
    assert names == set(PROGRAMS)


def test_an_unknown_program_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError):
        find_command("benchmarks.nothing")


@pytest.mark.parametrize("name", ["benchmarks.results_page", "benchmarks.study"])
def test_a_module_and_a_package_can_be_run_by_name(name: str) -> None:
    ran = subprocess.run([sys.executable, "-m", name, "--nothing"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2 and f"usage: python -m {name}" in ran.stderr
