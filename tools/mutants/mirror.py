"""Finds the test files of a source."""

from __future__ import annotations

from pathlib import Path

__all__ = ["mirrors", "own_tests"]


def mirrors(test: str, source: str) -> bool:
    """Whether ``a/test_b.py`` or ``a/test_b_SUBJECT.py`` is a test of ``a/b.py``; that of a package is test_init.py.

    Args:
        test: Path of a test relative to the folder of tests.
        source: Path of a source relative to the package.
    """
    name = f"test_{Path(source).stem.strip('_')}"
    return Path(test).parent == Path(source).parent and (
        Path(test).stem == name or Path(test).stem.startswith(f"{name}_")
    )


def own_tests(source: str, tests: Path) -> list[Path]:
    """Returns the test files of a source.

    Args:
        source: Path of a source relative to the package.
        tests: The folder of all tests.
    """
    beside = sorted((tests / Path(source).parent).glob("test_*.py"))
    return [path for path in beside if mirrors(path.relative_to(tests).as_posix(), source)]
