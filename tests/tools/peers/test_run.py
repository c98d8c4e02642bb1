"""A run without test files, or with one that cannot be imported, is an error."""

from pathlib import Path

import pytest

from tools.peers.plan import Plan
from tools.peers.run import run
from tools.require import CheckError


def plan(out: Path) -> Plan:
    return Plan("timm", "patched", [], ["*"], [], str(out))


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"has none of test_models\.py"):
        run(plan(tmp_path / "out.jsonl"), tmp_path, tmp_path / "work", 0)


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "test_models.py").write_text("import no_such_package\n")
    with pytest.raises(CheckError, match=r"timm_patched\.log"):
        run(plan(tmp_path / "out.jsonl"), tmp_path, tmp_path / "work", jobs)
