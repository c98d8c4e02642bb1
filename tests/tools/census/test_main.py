"""The census counts correct models, reports broken ones with exit code 1, and resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.census import __main__ as census
from tools.census import examine as examining
from tools.census.row import Row


def rows(path: Path) -> dict[str, dict[str, object]]:
    """Reads the results that were written."""
    return {row["name"]: row for row in map(json.loads, path.read_text().splitlines())}


def here(names: list[str], jobs: int) -> Iterator[Row]:
    """Runs the checks in this process, where a test can break something."""
    return map(examining.examine, names)


def test_right_models_are_counted_and_kept_for_a_later_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder" / "census.jsonl"
    arguments = ["--filter", "test_vit2", "--jobs", "1", "--out", str(out)]
    assert census.main(arguments) == 0
    assert "VisionTransformer" in capsys.readouterr().out
    assert rows(out)["test_vit2"]["status"] == "right"
    first = out.read_text()
    assert census.main([*arguments, "--resume"]) == 0
    assert out.read_text() == first


def test_a_model_that_fails_is_named_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "_examine_all", here)
    monkeypatch.setattr(examining.mm, "unpatch", lambda model: model)
    out = tmp_path / "census.jsonl"
    assert census.main(["--filter", "test_vit", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "failed: test_vit: {'image: unpatch': " in printed.err
    assert "image: unpatch: CheckError" in printed.out
    assert rows(out)["test_vit"]["status"] == "failed"


def test_a_filter_that_matches_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no plain transformer of timm matches no_such"):
        census.main(["--filter", "no_such*", "--out", str(tmp_path / "census.jsonl")])


def test_the_classes_are_listed_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "census.jsonl"
    assert census.main(["--classes", "--out", str(out)]) == 0
    listed = capsys.readouterr().out
    assert listed.index("  VisionTransformer: ") < listed.index("not counted:") < listed.index("  Xcit: ")
    assert not out.exists()
