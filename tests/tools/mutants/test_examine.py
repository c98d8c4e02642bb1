"""The tests of a module run on the module with a fault, while its file stays unchanged."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.mutants.examine import passes
from tools.mutants.faults import faults_in

SOURCE = "def add(a, b):\n    spare = 3\n    return a + b\n"
TEST = "from made_here.sums import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path, list[Path]]:
    """A module with its own test."""
    (tmp_path / "made_here").mkdir()
    (tmp_path / "made_here" / "__init__.py").touch()
    source, test = tmp_path / "made_here" / "sums.py", tmp_path / "test_sums.py"
    source.write_text(SOURCE)
    test.write_text(TEST)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "made_here.sums", source, [test]


def test_an_unchanged_module_passes(made: tuple[str, Path, list[Path]]) -> None:
    module, source, tests = made
    assert passes(module, source, None, tests, 60)


def test_modules_pass_in_processes_of_a_pool_too(made: tuple[str, Path, list[Path]]) -> None:
    module, source, tests = made
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda number: passes(module, source, number, tests, 60), [None, 0, 1])
    assert list(found) == [True, True, False]


def test_a_fault_is_found_if_it_changes_something(made: tuple[str, Path, list[Path]]) -> None:
    module, source, tests = made
    assert [str(fault) for fault in faults_in(SOURCE)] == ["add: 3 -> 4", "add: a + b -> a - b"]
    assert [passes(module, source, number, tests, 60) for number in (0, 1)] == [True, False]
    assert source.read_text() == SOURCE


def test_tests_that_take_too_long_do_not_pass(made: tuple[str, Path, list[Path]]) -> None:
    module, source, tests = made
    tests[0].write_text("import time\n\n\ndef test_sleep():\n    time.sleep(60)\n")
    assert not passes(module, source, None, tests, 2)
