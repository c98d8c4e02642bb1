"""A clone lacks nothing: git ignores no file that belongs to the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .archives import ROOT

SOURCES = ("benchmarks", "docs", "notebooks", "tests", "timm_mergemix", "tools")

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git repository, as in the sdist")


def ignored(paths: list[Path]) -> list[str]:
    """Those of the paths that .gitignore names, whether they are committed or not."""
    given = "\0".join(path.relative_to(ROOT).as_posix() for path in paths)
    command = ["git", "check-ignore", "--no-index", "--stdin", "-z"]
    found = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True)
    assert found.returncode in (0, 1), found.stderr
    return list(filter(None, found.stdout.split("\0")))


def test_no_source_is_ignored() -> None:
    paths = [path for folder in SOURCES for path in (ROOT / folder).rglob("*") if path.is_file()]
    paths = [path for path in paths if "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts]
    assert len(paths) > 100
    assert ignored(paths) == []


def test_what_the_makefile_writes_is_ignored() -> None:
    for name in ("dist/a.whl", "build/a", "runs/a.jsonl", "bench/a.csv", "demo/a", "site/a.html", ".venv/bin/python"):
        assert ignored([ROOT / name]) == [name]
