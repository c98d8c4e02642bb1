"""Test files mirror the sources, have a one-line docstring, and are short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.mutants.mirror import mirrors

HERE = Path(__file__).parent
TESTS = sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("test_*.py"))
# Tests that cover several sources: whole folders, and single files by the beginning of their names.
ACROSS = (
    "merge/ecosystem/",
    "merge/families/test_every_family",
    "docs/",
    "recipes/",
    "typing/",
    "notebooks/",
    "dist/",
    "launch/test_docs.py",
    "launch/test_order.py",
    "vlm/test_every_model.py",
    "test_architecture.py",
    "test_dtypes.py",
    "test_faces.py",
    "test_hostile",
    "test_mirror.py",
    "test_oldest.py",
    "test_readme.py",
    "test_real_models.py",
)
EVERY_FAMILY = "merge/families/test_every_family*.py run each case of the family"
# Sources with code but without a test file of their own, with the reason; a folder stands for all files in it.
UNTESTED = {
    "timm_mergemix/merge/families/beit.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/cait.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/deepseek.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/differential.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/gemma4.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/qwen3.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/relative.py": EVERY_FAMILY,
    "timm_mergemix/merge/families/relpos.py": EVERY_FAMILY,
    "timm_mergemix/merge/vlm/llava.py": "merge/vlm/test_reader.py and test_known.py run each model",
    "timm_mergemix/merge/vlm/paligemma.py": "merge/vlm/test_reader.py and test_known.py run each model",
    "timm_mergemix/merge/vlm/perception_lm.py": "merge/vlm/test_reader.py and test_known.py run each model",
    "timm_mergemix/cli/run.py": "cli/test_main.py runs every command by it",
    "timm_mergemix/cli/demo_pictures.py": "cli/test_demo.py looks at the pictures",
    "timm_mergemix/cli/demo_vlm_pictures.py": "cli/test_demo_vlm.py looks at the pictures",
    "benchmarks/speed/steps.py": "benchmarks/speed/test_rows.py times each of them",
    "benchmarks/study/places.py": "benchmarks/study/test_tasks.py looks there",
    "benchmarks/study/setup.py": "benchmarks/study/test_trial.py runs on one",
    "tools/peers/peer.py": "a protocol",
    "tools/train_matrix/settings/": "each is a row of the matrix, which make test-train runs and checks",
}


def sources() -> dict[str, Path]:
    """The sources by the path that the test file must follow."""
    root = HERE.parent
    found = {path.relative_to(root / "timm_mergemix").as_posix(): path for path in root.glob("timm_mergemix/**/*.py")}
    for package in ("benchmarks", "tools"):
        found |= {path.relative_to(root).as_posix(): path for path in root.glob(f"{package}/**/*.py")}
    return found


def has_code(path: Path) -> bool:
    """Whether a file defines a function or a class."""
    parts = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for part in parts)


def is_excused(source: Path) -> bool:
    name = source.relative_to(HERE.parent).as_posix()
    return any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in UNTESTED)


@pytest.mark.parametrize("test", TESTS)
def test_each_test_file_mirrors_a_source(test: str) -> None:
    assert test.startswith(ACROSS) or any(mirrors(test, source) for source in sources())


@pytest.mark.parametrize(
    "source", [name for name, path in sources().items() if has_code(path) and not is_excused(path)]
)
def test_each_source_has_a_test_file(source: str) -> None:
    assert any(mirrors(test, source) for test in TESTS), f"no test of {source}"


@pytest.mark.parametrize("entry", [entry for entry in UNTESTED if entry.endswith(".py")])
def test_only_sources_without_a_test_file_are_excused(entry: str) -> None:
    source = entry.removeprefix("timm_mergemix/")
    assert source in sources(), f"{entry} no longer exists"
    assert not any(mirrors(test, source) for test in TESTS), f"{entry} has a test now"


@pytest.mark.parametrize("test", TESTS)
def test_each_test_file_has_a_docstring_of_one_line(test: str) -> None:
    says = ast.get_docstring(ast.parse((HERE / test).read_text(encoding="utf-8")))
    assert says and "\n" not in says


@pytest.mark.parametrize("test", TESTS)
def test_no_test_file_is_longer_than_400_lines(test: str) -> None:
    assert len((HERE / test).read_text(encoding="utf-8").splitlines()) <= 400
