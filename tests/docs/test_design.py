"""The design page names every program and package of the repository, and nothing that does not exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = set(re.findall(r"`([\w./]+(?:\.py|/))`", (ROOT / "docs" / "design.md").read_text()))
SKIPPED = {"__init__.py", "__main__.py", "__pycache__", "version.py"}


def parts_of(folder: str) -> list[str]:
    """The modules and packages of a folder, as the page names them: ``records.py``, ``study/``."""
    paths = [path for path in (ROOT / folder).iterdir() if path.name not in SKIPPED]
    modules = [path.name for path in paths if path.suffix == ".py"]
    return modules + [f"{path.name}/" for path in paths if (path / "__init__.py").is_file()]


def test_every_program_and_package_is_named() -> None:
    named = {name.removeprefix("benchmarks/").removeprefix("tools/") for name in NAMED}
    parts = [part for folder in ("timm_mergemix", "benchmarks", "tools") for part in parts_of(folder)]
    assert [part for part in parts if not any(name.startswith(part) for name in named)] == []


def test_what_is_named_exists() -> None:
    folders = ("timm_mergemix", "benchmarks", "tools", "tests", "docs", "notebooks", ".ci", ".github")
    paths = [
        f"/{path.relative_to(ROOT)}" for folder in folders for path in [ROOT / folder, *(ROOT / folder).rglob("*")]
    ]
    assert [name for name in NAMED if not any(path.endswith("/" + name.rstrip("/")) for path in paths)] == []
