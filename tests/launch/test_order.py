"""The files of the launcher import one way, and only those that read the command line know its arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import timm_mergemix.launch

FOLDER = Path(timm_mergemix.launch.__file__).parent
# Each may import those before it.
ORDER = ["flags", "parsing", "recipe", "request", "refusals", "reading", "unused", "run", "log", "mixing", "criterion"]
ORDER += ["models", "loader", "epoch", "validation", "hooks", "script", "__main__", "__init__"]
READERS = {"flags", "parsing", "refusals", "reading", "script"}


def imported(name: str) -> set[str]:
    """The files of the launcher that one of them imports, anywhere in it."""
    nodes = ast.walk(ast.parse((FOLDER / f"{name}.py").read_text()))
    return {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1}


def test_every_file_has_its_place() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", ORDER)
def test_a_file_imports_only_what_comes_before_it(name: str) -> None:
    assert imported(name) <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", sorted(set(ORDER) - READERS))
def test_after_the_request_nobody_knows_the_arguments(name: str) -> None:
    assert "argparse" not in (FOLDER / f"{name}.py").read_text()
