"""The seed determines the faults, each is tried once, and the exit code says whether enough are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.mutants import __main__ as program

SOURCES = ["mix/ratio.py", "mix/draw.py"]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None]]:
    """Records what was tried; every eleventh fault is missed."""
    calls: list[tuple[str, int | None]] = []

    def passes(source: str, number: int | None, limit: float) -> bool:
        calls.append((source, number))
        return number is None or len(calls) % 11 == 0

    monkeypatch.setattr(program, "_passes", passes)
    monkeypatch.setattr(program, "get_known", lambda: None)
    return calls


def run(out: Path, *options: str) -> int:
    return program.main(["--source", *SOURCES, "--jobs", "1", "--out", str(out / "rows.jsonl"), *options])


def test_the_seed_determines_the_faults() -> None:
    first, again, other = (program.draw(SOURCES, 10, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 10 and {trial.source for trial in first} <= set(SOURCES)
    everything = program.draw(SOURCES, 10**6, 0)
    assert set(first) <= set(everything) and len(set(everything)) == len(everything)


def test_earlier_trials_are_not_repeated(tmp_path: Path, tried: list[tuple[str, int | None]]) -> None:
    run(tmp_path, "--count", "5")
    sources = {source for source, _ in tried}  # each is first tested without a fault
    assert [number is None for _, number in tried] == [True] * len(sources) + [False] * 5
    tried.clear()
    run(tmp_path, "--count", "5")
    assert [number for _, number in tried] == [None] * len(sources)


@pytest.mark.parametrize(("missed", "code"), [(True, 1), (False, 0)])
def test_the_exit_code_says_whether_enough_are_found(
    missed: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[tuple[str, int | None]]
) -> None:
    if not missed:
        monkeypatch.setattr(program, "_passes", lambda source, number, limit: number is None)
    assert run(tmp_path, "--count", "40") == code


def test_modules_whose_tests_fail_without_a_fault_stop_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: list[tuple[str, int | None]]
) -> None:
    monkeypatch.setattr(program, "_passes", lambda source, number, limit: False)
    with pytest.raises(SystemExit, match=r"tests that fail: mix/draw.py, mix/ratio.py"):
        run(tmp_path)


def test_sources_that_do_not_exist_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is nothing to change in no_such"):
        program.main(["--source", "no_such.py", "--out", str(tmp_path / "rows.jsonl")])
