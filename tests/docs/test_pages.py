"""How-to pages have the same sections, and the site has every page."""

import re
from pathlib import Path

import pytest

import timm_mergemix as mm

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = ["How to use", "Suggested values", "Technical details", "Attribution", "API"]


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.md")), ids=lambda page: page.name)
def test_sections(page: Path) -> None:
    plain = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert re.findall(r"^## (.*)$", plain, flags=re.MULTILINE) == SECTIONS


def test_the_site_has_every_page() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_the_reference_has_every_public_name() -> None:
    text = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    listed = set(re.findall(r"^::: timm_mergemix\.([\w.]+)$", text, flags=re.MULTILINE))
    modules = {"functional", "metrics", "transforms", "viz"}
    assert set(mm.__all__) - modules - {"__version__"} <= listed
    assert {"functional", "metrics", "transforms.MergeMix", "viz"} <= listed
