"""The rules of docs/design.md about imports, asserts and lengths; test_mirror.py has the rules about tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import timm_mergemix

ROOT = Path(timm_mergemix.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
# The only places that may import timm or torchvision.
OUTSIDE = (
    "merge/families/",
    "merge/find/support.py",
    "mixers/integrate.py",
    "weights.py",
    "transforms/",
    "vlm/raw.py",
    "preference/",
    "training/",
    "cli/",
    "launch/",
)
# The only place that may import hypothesis.
TESTING = ("testing/",)
# The only places that may need an optional package. The package's __init__ only maps names to modules.
EXTRAS = ("__init__.py", "training/", "cli/", "viz/", "__main__.py")
CORE = ("mix/", "metrics/", "preference/logp.py", "preference/pairwise.py", "functional.py", "errors.py")
CORE += ("merge/", "checks.py")


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """The modules that a file imports anywhere, our own as a path from the package: ``.merge.patch``."""
    package = name.split("/")[:-1]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module or ""
                continue
            base = ".".join(["", *package[: len(package) - node.level + 1]])
            module = ".".join(filter(None, [base.lstrip("."), node.module]))
            yield f".{module}"
            yield from (f".{module}.{alias.name}".replace("..", ".") for alias in node.names)


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def reaches(name: str, *modules: str) -> list[str]:
    return [got for got in imports(name) for wanted in modules if got == wanted or got.startswith(f"{wanted}.")]


def test_imports_are_read_from_all_forms_of_import() -> None:
    assert ".merge.attach" in set(imports("saliency/passes.py"))
    assert ".errors" in set(imports("mix/mixer.py"))
    assert ".merge.record" in set(imports("merge/families/timm_model.py"))
    assert "timm.models.vision_transformer" in set(imports("merge/families/vit.py"))
    assert ".functional" in set(imports("__init__.py"))


@pytest.mark.parametrize("name", FILES)
def test_only_families_and_integrations_import_timm(name: str) -> None:
    if not within(name, OUTSIDE):
        assert reaches(name, "timm", "torchvision") == []


@pytest.mark.parametrize("name", [n for n in FILES if within(n, CORE) and not within(n, OUTSIDE)])
def test_the_core_imports_nothing_that_builds_on_it(name: str) -> None:
    assert reaches(name, ".training", ".cli", ".launch", ".viz", ".transforms", ".mixers") == []


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("mix/")])
def test_mixing_does_not_import_merging(name: str) -> None:
    assert reaches(name, ".merge", ".saliency") == []


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("merge/")])
def test_merging_does_not_import_mixing(name: str) -> None:
    assert reaches(name, ".mix", ".saliency") == []


@pytest.mark.parametrize("name", [n for n in FILES if not within(n, ("__init__.py", "vlm/", "training/", "cli/"))])
def test_the_lower_floors_do_not_import_the_vision_language_part(name: str) -> None:
    assert reaches(name, ".vlm") == []


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("vlm/") and n != "vlm/trainer.py"])
def test_only_the_trainer_of_the_vision_language_part_needs_transformers(name: str) -> None:
    assert reaches(name, "transformers", "trl", "accelerate", "peft") == []


@pytest.mark.parametrize("name", [n for n in FILES if not within(n, EXTRAS)])
def test_the_library_needs_no_optional_packages(name: str) -> None:
    assert reaches(name, "matplotlib", "sklearn", "tqdm", "torchmetrics", "scipy", ".training", ".cli", ".viz") == []


@pytest.mark.parametrize("name", [n for n in FILES if not within(n, TESTING)])
def test_only_the_testing_package_needs_hypothesis(name: str) -> None:
    assert reaches(name, "hypothesis") == []
    assert name == "__init__.py" or reaches(name, ".testing") == []


@pytest.mark.parametrize("name", FILES)
def test_no_user_input_is_checked_by_assert(name: str) -> None:
    assert not [node.lineno for node in ast.walk(tree(name)) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("name", FILES)
def test_each_module_has_a_docstring(name: str) -> None:
    assert ast.get_docstring(tree(name)) or not (ROOT / name).read_text().strip()


@pytest.mark.parametrize("name", FILES)
def test_functions_are_short(name: str) -> None:
    """Functions have fewer than 40 lines of code, not counting signature and docstring."""
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines < 40, f"{name}: {node.name} has {lines} lines"


def modules() -> dict[str, Path]:
    """The files of the package, the benchmarks and the tools, by the dotted name of the module."""
    found = {}
    for package in (ROOT, ROOT.parent / "benchmarks", ROOT.parent / "tools"):
        for path in package.rglob("*.py"):
            found[".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Our own modules that a module imports anywhere, including imports for type checkers."""
    package = name.split(".")[: None if path.stem == "__init__" else -1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:  # an imported name may itself be a module
                whole = f"{base}.{alias.name}"
                yield from (module for module in [whole if whole in known else base] if module in known)


def circles() -> list[set[str]]:
    """Sets of modules that import each other in a circle."""
    known = modules()
    reached = {name: set(imported(name, path, known)) - {name} for name, path in known.items()}
    for through in known:  # Warshall's algorithm: paths through more and more modules
        for name in known:
            if through in reached[name]:
                reached[name] |= reached[through]
    rings = {frozenset(other for other in reached[name] if name in reached[other]) for name in known}
    return [set(ring) for ring in rings if ring]


def test_there_are_no_circular_imports() -> None:
    assert "timm_mergemix.merge.attach" in set(
        imported("timm_mergemix.tune.search", ROOT / "tune/search.py", modules())
    )
    assert circles() == []


def test_the_top_level_of_the_package_fits_on_one_screen() -> None:
    assert len([entry for entry in ROOT.iterdir() if entry.name != "__pycache__"]) <= 24
