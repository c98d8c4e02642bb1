"""What a release needs to say is said once, and CONTRIBUTING knows the places that must change."""

from __future__ import annotations

import re
from pathlib import Path

from timm_mergemix import __version__

ROOT = Path(__file__).parents[2]


def test_the_version_has_one_place() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in project
    assert 'version = { attr = "timm_mergemix.version.__version__" }' in project
    cited = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert cited in ([], [__version__])


def test_contributing_lists_every_placeholder() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml"), *(ROOT / "docs").rglob("*.md")]
    found = {page.relative_to(ROOT).as_posix() for page in pages if "/OWNER/" in page.read_text(encoding="utf-8")}
    (said,) = re.findall(
        r"`git grep OWNER` lists (.*?)\.\s+In ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL
    )
    assert found and set(re.findall(r"[\w/]+\.(?:md|yml)", said)) == found
