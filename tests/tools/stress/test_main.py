"""The program writes one row per family, and its exit code says whether everything is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.apart import ApartError
from tools.stress import __main__ as stress
from tools.stress.row import Row


def examined(**found: object) -> Callable[..., Row]:
    """Stands in for the process of a family."""
    return lambda limit, function, name, threads, calls: Row(name, calls=threads * calls, **found)


def run(path: Path, *arguments: str) -> int:
    return stress.main(["--family", "vit*", "--threads", "2", "--calls", "3", "--out", str(path), *arguments])


def test_right_families_give_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress, "apart", examined())
    out = tmp_path / "folder" / "stress.jsonl"
    assert run(out) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["family"] == "vit" and rows[0]["calls"] == 6
    assert len(rows) > 3
    assert "| vit, compiled | 0 | 6 |" in capsys.readouterr().out


def test_one_wrong_family_gives_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress, "apart", examined(evaluated=1))
    assert run(tmp_path / "stress.jsonl") == 1


def test_a_family_without_a_result_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object) -> Row:
        raise ApartError("did not end in 3600 s")

    monkeypatch.setattr(stress, "apart", hang)
    assert run(tmp_path / "stress.jsonl") == 1
    assert "| vit | did not end in 3600 s |" in capsys.readouterr().out


def test_an_unknown_family_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no family no_such"):
        stress.main(["--family", "no_such", "--out", str(tmp_path / "stress.jsonl")])
