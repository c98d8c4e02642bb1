"""Runs the tests of a module in a separate process after putting a fault into it."""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from .faults import with_fault

__all__ = ["get_known", "passes"]

KNOWN = ("torch", "torchvision.transforms.v2", "timm", "timm.data", "hypothesis", "numpy", "scipy.stats", "pytest")
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header", "--no-summary", "-W", "ignore")


def get_known() -> None:
    """Imports the modules that every process needs, so that forked processes have them."""
    for name in KNOWN:
        import_module(name)


def passes(module: str, path: Path, number: int | None, tests: Sequence[Path], limit: float) -> bool:
    """Returns whether the tests pass on a module with a fault.

    Args:
        module: Name of the module.
        path: The file of the module, which is not changed.
        number: Number of the fault; None for the unchanged module.
        tests: The test files.
        limit: Time limit in seconds; tests that take longer do not pass.
    """
    process = multiprocessing.get_context("fork").Process(target=_run, args=(module, path, number, tests))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


class _Finder(MetaPathFinder):
    """Finds one module and loads other code for it."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self.module, self.path, self.tree = module, path, tree

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        return spec_from_file_location(name, self.path, loader=_Loader(name, str(self.path), self.tree))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self.tree, self.path, "exec")
        return code


def _run(module: str, path: Path, number: int | None, tests: Sequence[Path]) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    # An unchanged module is loaded in the same way, so that only the fault can make tests fail.
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source) if number is None else with_fault(source, number)
    for name in [name for name in sys.modules if name.split(".")[0] == module.split(".")[0]]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder(module, path, tree))
    # Exits at once: the usual cleanup would wait for the thread of the pool that forked this process.
    os._exit(pytest.main([*map(str, tests), *QUIET]))
