"""The tests of the suite that need CUDA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..records import Record

__all__ = ["CUDA_TESTS", "run_tests"]

ROOT = Path(__file__).parents[2]
CUDA_TESTS = ("tests/merge/ecosystem/test_cuda.py", "tests/mixers/test_mergemix_cuda.py")


def run_tests(paths: Sequence[str] = CUDA_TESTS) -> Record:
    """Runs them by pytest, in a process of its own.

    Args:
        paths: Files of tests, from the root of the repository.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (ran.stdout or ran.stderr).strip().splitlines()
    outcome = "passed" if ran.returncode == 0 else f"exit code {ran.returncode}"
    return {"kind": "tests", "row": ", ".join(paths), "arm": "", "outcome": outcome, "summary": lines[-1]}
