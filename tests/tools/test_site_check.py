"""Pages of a site are found, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import site_check
from tools.site_check import faults_in, filter_faults, find_chromium, main, pages_of


def test_pages_are_named_as_they_are_asked_for(tmp_path: Path) -> None:
    for name in ("index.html", "404.html", "guide/merging/index.html", "guide/style.css"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert pages_of(tmp_path) == ["", "404.html", "guide/merging/"]


def test_a_page_that_fits_has_no_fault() -> None:
    assert faults_in({"width": 400, "window": 400, "broken": []}, []) == []


def test_every_fault_is_said() -> None:
    found = faults_in({"width": 412, "window": 400, "broken": ["a.png"]}, ["console: b"])
    assert found == ["it is 412 px wide in a window of 400 px", "image a.png is missing", "console: b"]


def test_a_filter_shows_what_is_typed_and_nothing_else() -> None:
    assert filter_faults(["a1", "a2"], ["a1", "a2"], 1, 1) == []
    assert filter_faults(["a1"], ["a1", "b"], 3, 1) == [
        "the filter shows 2 of 1 rows",
        "the filter shows 3 families, 1 of them open",
    ]
    assert filter_faults([], [], 0, 0) == ["the filter shows 0 of 0 rows"]


def test_the_browser_is_the_one_that_is_named_or_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/opt/browser")
    assert find_chromium() == "/opt/browser"
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setattr(site_check.shutil, "which", {"google-chrome": "/usr/bin/google-chrome"}.get)
    assert find_chromium() == "/usr/bin/google-chrome"
    monkeypatch.setattr(site_check.shutil, "which", lambda name: None)
    assert find_chromium() is None


def test_a_folder_without_pages_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "has no pages; `make docs` builds them" in capsys.readouterr().err
