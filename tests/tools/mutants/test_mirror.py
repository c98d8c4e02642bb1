"""The tests of a source are the test files that mirror its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.mutants.mirror import mirrors, own_tests


@pytest.mark.parametrize(
    ("test", "source", "wanted"),
    [
        ("mix/test_mask.py", "mix/mask.py", True),
        ("mix/test_mask_edges.py", "mix/mask.py", True),
        ("mix/test_masks.py", "mix/mask.py", False),
        ("test_mask.py", "mix/mask.py", False),
        ("metrics/test_init.py", "metrics/__init__.py", True),
        ("test_main.py", "__main__.py", True),
    ],
)
def test_a_test_mirrors_a_source_by_name_and_folder(test: str, source: str, wanted: bool) -> None:
    assert mirrors(test, source) is wanted


def test_own_tests_finds_the_tests_of_a_source(tmp_path: Path) -> None:
    for name in ("mix/test_mask.py", "mix/test_mask_edges.py", "mix/test_draw.py", "test_mask.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert own_tests("mix/mask.py", tmp_path) == [tmp_path / "mix/test_mask.py", tmp_path / "mix/test_mask_edges.py"]
    assert own_tests("other.py", tmp_path) == []
