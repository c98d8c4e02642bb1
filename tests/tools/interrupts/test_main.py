"""Interrupts are spread over families, and the exit code says whether a model stayed broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.apart import ApartError
from tools.interrupts import __main__ as program
from tools.interrupts.row import Row


def examined(**found: object) -> Callable[..., list[Row]]:
    """Stands in for the process of a family."""
    return lambda limit, function, name, interrupts, signals: [Row(name, "patch", interrupts=interrupts, **found)]


def run(path: Path, *families: str) -> int:
    return program.main(["--interrupts", "10", "--family", *families, "--out", str(path / "folder" / "rows.jsonl")])


def test_interrupts_are_spread_over_families(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "apart", examined())
    assert run(tmp_path, "vit", "cait", "beit") == 0
    rows = [json.loads(line) for line in (tmp_path / "folder" / "rows.jsonl").read_text().splitlines()]
    assert [(row["family"], row["interrupts"]) for row in rows] == [("vit", 4), ("cait", 4), ("beit", 4)]
    assert "| patch | instruction | 12 |" in capsys.readouterr().out


def test_a_broken_model_gives_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "apart", examined(broken={"unpatch: class": 1}))
    assert run(tmp_path, "vit") == 1


def test_a_family_without_a_result_gives_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> list[Row]:
        raise ApartError("did not end in 5 s, or died (exit code -11)")

    monkeypatch.setattr(program, "apart", die)
    assert run(tmp_path, "vit") == 1
    assert "- vit: did not end in 5 s" in capsys.readouterr().out


def test_an_unknown_family_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no family no_such"):
        run(tmp_path, "no_such")
