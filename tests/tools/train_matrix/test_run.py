"""A run returns the exit code, log, summary and files of its process, however it ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.require import CheckError
from tools.train_matrix import run as runs
from tools.train_matrix.run import Run, execute

from .made import epochs, made_run


def python(code: str, place: Path, interrupt: str = "", env: dict[str, str] | None = None) -> Run:
    """Runs some code."""
    return execute([sys.executable, "-c", code], place, place / "out", env, interrupt)


def test_output_and_exit_code_are_recorded(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['GIVEN'], os.getcwd()); print('to stderr', file=sys.stderr); sys.exit(3)"
    run = python(code, tmp_path, env={"GIVEN": "a variable"})
    assert run.rc == 3
    assert f"a variable {tmp_path}" in run.log and "to stderr" in run.log
    assert "-c" in (tmp_path / "command.txt").read_text()
    assert run.files == []


def test_a_run_is_interrupted_as_by_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import time\ntry:\n    print('begun', flush=True); time.sleep(60)\nexcept KeyboardInterrupt: print('stopped')"
    )
    run = python(code, tmp_path, interrupt="beg.n")
    assert run.rc == 0 and "stopped" in run.log


def test_a_run_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "TIMEOUT", 0.2)
    assert python("import time; time.sleep(60)", tmp_path).rc == -9


def test_the_error_is_the_last_line_that_looks_like_one(tmp_path: Path) -> None:
    for i, (log, error) in enumerate(
        {
            "Traceback\nValueError: wrong\nexiting": "ValueError: wrong",
            "usage: train.py\ntrain.py: error: unrecognized arguments": "train.py: error: unrecognized arguments",
            "one\n two \n": "two",
            "": "no output",
        }.items()
    ):
        assert made_run(tmp_path / str(i), log=log).error == error


def test_the_summary_is_read_as_numbers(tmp_path: Path) -> None:
    run = made_run(tmp_path / "a", epochs(1.5, 0.5))
    assert run.rows[1] == {"epoch": 1.0, "train_loss": 0.5} and run.column("train_loss") == [1.5, 0.5]
    assert run.files == ["summary.csv"]
    with (run.output / "summary.csv").open("a") as file:
        file.write("2,0.4,0.3\n")
    with pytest.raises(CheckError, match="rows are not as long as"):
        _ = run.rows
