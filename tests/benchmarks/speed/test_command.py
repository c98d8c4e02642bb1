"""`python -m benchmarks.speed` measures, writes its files, and resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.command import main
from benchmarks.speed import command as bench
from benchmarks.speed.growth import Point
from benchmarks.speed.row import Comparison, Row

FAST = ["--rounds", "1", "--seconds", "0", "--threads", "1"]
ran: list[str] = []


def run(argv: list[str]) -> int:
    return main(bench, argv)


def row(name: str) -> Row:
    def make() -> dict[str, Any]:
        ran.append(name)
        return {"merged": lambda: None, "ideal": lambda: None}

    return Row(name, make, (Comparison("merged", "ideal", 1.1),))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that take no time; the real rows are tested elsewhere."""
    ran.clear()
    monkeypatch.setattr(bench, "all_rows", lambda *_: [row("inference"), row("training")])
    monkeypatch.setattr(bench, "MEMORY", ("test_vit", 2, 0.9))

    def grow(model: str, r: int, *_: Any, places: list[tuple[int, int]], **__: Any) -> Iterator[Point]:
        for size, batch in places:
            yield Point(size, 197, batch, str(r), {"merged": 1.0, "ideal": 0.9, "unpatched": 2.0})

    monkeypatch.setattr(bench, "grow", grow)
    monkeypatch.setattr(bench, "all_places", lambda: [(224, 1), (224, 2)])


def test_table_json_and_plot_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--out", str(tmp_path), "--r", "3", *FAST]) == 0
    printed = capsys.readouterr().out
    assert "inference: merged / ideal" in printed
    assert "memory of a training step, test_vit" in printed
    written = json.loads((tmp_path / "results.json").read_text())
    assert [result["row"] for result in written["results"]][:2] == ["inference", "training"]
    assert written["machine"]["torch"] == torch.__version__
    assert written["growth"][0]["tokens"] == 197
    assert "| inference: merged / ideal |" in (tmp_path / "results.md").read_text()
    with Image.open(tmp_path / "results.png") as picture:
        assert picture.width > 500


def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--no-growth", "--r", "3", *FAST]
    assert run(command) == 0
    kept = (tmp_path / "speed.jsonl").read_text().splitlines()
    (tmp_path / "speed.jsonl").write_text(kept[0] + "\n")  # killed after the first row
    ran.clear()
    assert run([*command, "--resume"]) == 0
    assert ran == ["training"]
    again = (tmp_path / "speed.jsonl").read_text().splitlines()
    assert (again[0], len(again)) == (kept[0], len(kept))
    assert run(command) == 0
    assert ran[1:] == ["inference", "training"]


def test_results_with_another_number_of_threads_are_not_in_the_table(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--no-growth", "--r", "3", *FAST, "--resume"]
    assert run([*command, "--threads", "2"]) == 0 and run(command) == 0
    assert ran == ["inference", "training"] * 2
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["results"]) == 3 and written["machine"]["threads"] == 1


def test_a_run_that_was_killed_while_measuring_growth_is_resumed(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--r", "3", *FAST]
    assert run(command) == 0
    kept = (tmp_path / "growth.jsonl").read_text().splitlines()
    (tmp_path / "growth.jsonl").write_text(kept[0] + "\n")
    assert run([*command, "--resume"]) == 0
    assert (tmp_path / "growth.jsonl").read_text().splitlines() == kept
    assert len(json.loads((tmp_path / "results.json").read_text())["growth"]) == 2


def test_growth_with_another_r_is_measured_again(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), *FAST, "--resume", "--r"]
    assert run([*command, "3"]) == 0 and run([*command, "2"]) == 0
    assert len((tmp_path / "growth.jsonl").read_text().splitlines()) == 4
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["growth"]) == 2
    assert sum("memory" in result["row"] for result in written["results"]) == 2


def test_rows_are_selected_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--out", str(tmp_path), "--filter", "inference", *FAST]) == 0
    assert ran == ["inference"]
    assert "memory" not in capsys.readouterr().out
    before = (tmp_path / "speed.jsonl").read_text()
    assert before and run(["--out", str(tmp_path), "--filter", "nothing", *FAST]) == 2
    assert (tmp_path / "speed.jsonl").read_text() == before


def test_an_incomplete_last_line_is_measured_again(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--no-growth", "--filter", "inference", *FAST]
    assert run(command) == 0
    path = tmp_path / "speed.jsonl"
    path.write_text(path.read_text()[:-20])
    ran.clear()
    assert run([*command, "--resume"]) == 0 and ran == ["inference"]
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == 1


def test_an_incomplete_row_is_measured_again_and_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (Comparison("merged", "ideal", 1.1), Comparison("ideal", "merged"))
    monkeypatch.setattr(bench, "all_rows", lambda *_: [row("inference")._replace(comparisons=both)])
    command = ["--out", str(tmp_path), "--no-growth", "--filter", "inference", *FAST]
    assert run(command) == 0
    path = tmp_path / "speed.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert run([*command, "--resume"]) == 0 and ran == ["inference"] * 2
    written = json.loads((tmp_path / "results.json").read_text())
    assert [(result["above"], result["below"]) for result in written["results"]] == [each[:2] for each in both]


def test_memory_alone_can_be_measured_and_drawn(tmp_path: Path) -> None:
    assert run(["--out", str(tmp_path), "--filter", "memory", *FAST]) == 0
    assert ran == [] and (tmp_path / "results.png").is_file()


def test_an_interrupted_run_says_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure", interrupted)
    assert run(["--out", str(tmp_path), *FAST]) == 130
    assert f"python -m benchmarks.speed --out {tmp_path} {' '.join(FAST)} --resume" in capsys.readouterr().err
