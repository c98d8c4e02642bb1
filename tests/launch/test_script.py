"""Finding, loading and running a script: as python would, or with a message and exit code 2."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm

from timm_mergemix import MergeMixError
from timm_mergemix.launch.script import OLDEST_TIMM, check_script, check_timm, loaded, main, run_script

from .runs import SCRIPTS, TINY

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), (["-h"], 0), ([], 2), (["--mergemix", "1"], 2)])
def test_without_a_script_it_says_how_to_use_it(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    printed = capsys.readouterr()
    assert "usage: python -m timm_mergemix.launch SCRIPT" in (printed.err if code else printed.out)


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "train.py")]) == 2
    assert re.fullmatch(r"timm_mergemix\.launch: script: got .*train\.py', wanted .*\n", capsys.readouterr().err)


def test_under_torchrun_each_process_says_what_is_wrong_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main([str(tmp_path / "train.py")]) == 2
    assert capsys.readouterr().err.startswith("timm_mergemix.launch (process 1): script: got")


def test_a_script_finds_its_neighbours_and_its_arguments(tmp_path: Path) -> None:
    write(tmp_path, "ANSWER = 42", "neighbour_of_a_script.py")
    path = write(tmp_path, "import sys\nfrom neighbour_of_a_script import ANSWER\nargv = list(sys.argv)\n")
    argv, search = list(sys.argv), list(sys.path)
    with loaded(path, ["--lr", "1"]) as script:
        assert script.ANSWER == 42
        assert script.argv == [str(path), "--lr", "1"]
        assert script.__name__ != "__main__"
    assert (sys.argv, sys.path) == (argv, search)


def test_a_timm_beside_the_script_does_not_hide_the_installed_one(tmp_path: Path) -> None:
    (tmp_path / "timm").mkdir()
    write(tmp_path / "timm", "__version__ = '0.0.1'", "__init__.py")
    path = write(tmp_path, "import timm\nversion = timm.__version__\n")
    # In a process of its own, where timm is not imported yet.
    code = f"""
from pathlib import Path
from timm_mergemix.launch.script import loaded
with loaded(Path({str(path)!r}), []) as script:
    print(script.version)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == timm.__version__


def test_a_timm_in_the_working_directory_that_is_too_old_is_refused(tmp_path: Path) -> None:
    (tmp_path / "timm").mkdir()
    write(tmp_path / "timm", "__version__ = '1.0.9'", "__init__.py")
    command = [sys.executable, "-m", "timm_mergemix.launch", str(SCRIPTS / "train_new.py")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert ended.returncode == 2
    assert "timm: got 1.0.9" in ended.stderr
    assert "working directory hides the installed one" in ended.stderr


def test_oldest_timm_is_the_lower_bound_of_the_package() -> None:
    assert f'"timm>={OLDEST_TIMM}"' in (ROOT / "pyproject.toml").read_text()
    check_timm()


def test_a_timm_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MergeMixError, match="timm: cannot be imported"):
        check_timm()


def test_a_script_for_a_newer_timm_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "from timm.task import NotYetThere\n")
    with pytest.raises(MergeMixError, match=r"script\.py cannot be imported: .* take the script of that release"):
        run_script(path, [])


def test_a_package_that_a_script_needs_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "import no_such_package_anywhere\n")
    with pytest.raises(MergeMixError, match=r"cannot be imported: No module named 'no_such_package_anywhere'$"):
        run_script(path, [])


@pytest.mark.parametrize("text", ["def (:", "x = 1\0", "    x = 1"])
def test_a_script_that_is_no_python_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path, text))]) == 2
    said = capsys.readouterr().err
    assert "script.py is not valid Python: " in said and "Traceback" not in said


def test_what_is_no_python_file(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="wanted a Python file"):
        run_script(write(tmp_path, "", "notes.txt"), ["--lr", "1"])
    assert "--lr" not in sys.argv


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("x = 1", "parser, main, create_model"),
        ("parser = main = create_model = train_one_epoch = 1", "validate, create_loader"),
        ("parser = main = create_model = 1", "an argparse parser named parser"),
    ],
)
def test_another_script_is_refused(tmp_path: Path, text: str, missing: str) -> None:
    with loaded(write(tmp_path, text), []) as script, pytest.raises(MergeMixError, match=f"has no {missing}; wanted"):
        check_script(script)


def test_epochs_that_are_called_otherwise_are_refused(tmp_path: Path) -> None:
    text = "import argparse\nparser = argparse.ArgumentParser()\nmain = create_model = validate = create_loader = 1\n"
    path = write(tmp_path, f"{text}def train_one_epoch(config, loader): ...\n")
    with loaded(path, []) as script, pytest.raises(MergeMixError, match="takes config, loader; wanted epoch"):
        check_script(script)


def test_the_module_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "timm_mergemix.launch", str(SCRIPTS / "validate.py"), *TINY, "--merge-r", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "tokens in the last MLP: 11" in ended.stdout


def test_workers_that_spawn_import_next_to_nothing() -> None:
    code = "import sys, timm_mergemix.launch.__main__; print('torch' in sys.modules, 'timm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
