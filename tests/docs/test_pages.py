"""How-to pages have the same sections, and the site has every page."""

import inspect
import re
import typing
from pathlib import Path

import pytest

import timm_mergemix as mm

DOCS = Path(__file__).parents[2] / "docs"
# Characters of a command that fit the column of the site.
WIDTH = 70
PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SECTIONS = ["How to use", "Suggested values", "Technical details", "Attribution", "API"]


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.md")), ids=lambda page: page.name)
def test_sections(page: Path) -> None:
    plain = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert re.findall(r"^## (.*)$", plain, flags=re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_fit_a_narrow_column(page: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if len(line) > WIDTH] == []


def test_the_site_has_every_page() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def referenced() -> set[str]:
    text = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    return set(re.findall(r"^::: timm_mergemix\.([\w.]+)$", text, flags=re.MULTILINE))


def test_the_reference_has_every_public_name() -> None:
    listed = referenced()
    modules = {"functional", "metrics", "testing", "transforms", "viz", "vlm"}
    assert set(mm.__all__) - modules - {"__version__"} <= listed
    assert {"functional", "metrics", "transforms.MergeMix", "viz"} <= listed
    assert {f"testing.{name}" for name in mm.testing.__all__ if name.islower() or name[1].islower()} <= listed


def returned() -> set[type]:
    """Classes of ours that public functions, and calls of public classes, return."""
    public = [getattr(mm, name) for name in mm.__all__ if name != "__version__"]
    calls = [
        getattr(each, "forward", each.__call__) if inspect.isclass(each) else each for each in public if callable(each)
    ]
    known = {"Mixer": mm.Mixer}  # imported for type checkers only where the command line must start fast
    hints = [typing.get_type_hints(call, localns=known).get("return") for call in calls if inspect.isfunction(call)]
    return {hint for hint in hints if inspect.isclass(hint) and hint.__module__.startswith("timm_mergemix")}


def test_the_reference_has_what_public_functions_return() -> None:
    names = {f"{each.__module__}.{each.__name__}".removeprefix("timm_mergemix.") for each in returned()}
    assert {"merge.info.MergeInfo", "merge.find.support.Support", "preference.step.StepOutput"} <= names
    short = {name.rsplit(".")[-1] for name in referenced()}
    assert {name for name in names if name.rsplit(".")[-1] not in short} == set()
