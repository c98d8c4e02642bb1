"""A forked run behaves like a new process: working directory, environment, log and exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools.train_matrix import warm
from tools.train_matrix.warm import WarmProcess


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork server without imports, which starts immediately."""
    monkeypatch.setattr(warm, "CONTEXT", warm.multiprocessing.get_context("fork"))


@pytest.mark.parametrize("code", [0, 3])
def test_a_script_runs_in_its_folder_with_its_environment(code: int, tmp_path: Path) -> None:
    script, log = tmp_path / "script.py", tmp_path / "log.txt"
    script.write_text(f"import os, sys; print(os.getcwd(), os.environ['GIVEN'], sys.argv[1:]); sys.exit({code})")
    process = WarmProcess([sys.executable, str(script), "--a"], tmp_path, {**os.environ, "GIVEN": "here"}, log)
    assert process.wait() == code == process.returncode == process.poll()
    assert log.read_text() == f"{tmp_path} here ['--a']\n"


def test_a_module_can_be_run_too(tmp_path: Path) -> None:
    (tmp_path / "found_here.py").write_text("import sys; print(__name__, sys.argv[1:])")
    process = WarmProcess([sys.executable, "-m", "found_here", "--a"], tmp_path, os.environ, tmp_path / "log.txt")
    assert process.wait() == 0
    assert (tmp_path / "log.txt").read_text() == "__main__ ['--a']\n"
