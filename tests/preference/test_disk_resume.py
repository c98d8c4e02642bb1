"""An interrupted run of write_pairs resumes where it stopped, and two different runs are never mixed."""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.pairs import PairBatch

from ..mix.batches import quick
from .written import files, lines, made


class KilledError(Exception):
    pass


def killed(batches: Iterable[PairBatch], after: int) -> Iterator[PairBatch]:
    for i, pairs in enumerate(batches):
        if i == after:
            raise KilledError
        yield pairs


def pull_the_plug(directory: Path, cut: str) -> None:
    """Damages a directory as a program does that ends at the worst moment."""
    path = directory / "pairs.jsonl"
    if cut == "image without its line":
        (directory / "winner" / "00000008.png").write_bytes(b"half an image")
    elif cut == "half a line":
        path.write_bytes(path.read_bytes()[:-20])
    elif cut == "line without its newline":
        path.write_bytes(path.read_bytes()[:-1])
    elif cut == "half of the first line":
        path.write_bytes(path.read_bytes()[:20])
    elif cut == "no lines":
        path.unlink()


@pytest.mark.parametrize(
    "cut",
    [
        "nothing",
        "image without its line",
        "half a line",
        "line without its newline",
        "half of the first line",
        "no lines",
    ],
)
def test_an_interrupted_run_resumes(tmp_path: Path, cut: str) -> None:
    write_pairs(made(4), tmp_path / "whole")
    with pytest.raises(KilledError):
        write_pairs(killed(made(4), 2), tmp_path / "cut")
    assert len(lines(tmp_path / "cut")) == 8
    before = files(tmp_path / "cut")
    pull_the_plug(tmp_path / "cut", cut)
    assert (files(tmp_path / "cut") == before) == (cut == "nothing")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "winner").iterdir()}
    assert write_pairs(made(4), tmp_path / "cut") == 16
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    if cut == "nothing":
        assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())


@functools.cache
def whole_run() -> dict[str, bytes]:
    with TemporaryDirectory() as directory:
        write_pairs(made(4), directory, format="bmp")
        return files(Path(directory))


@settings(quick, max_examples=25)
@given(st.integers(0, 15), st.integers(0, 400), st.integers(0, 4))
def test_a_run_resumes_wherever_it_was_interrupted(line: int, byte: int, batch: int) -> None:
    """The lines are truncated at any byte, and the second run may be killed as well."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for folder in ("winner", "loser"):
            (directory / folder).mkdir()
        for path, content in whole_run().items():
            (directory / path).write_bytes(content)
        text = whole_run()["pairs.jsonl"].splitlines(keepends=True)
        (directory / "pairs.jsonl").write_bytes(b"".join(text[:line]) + text[line][:byte])
        there = line + (byte >= len(text[line]))
        if batch < 4:
            with pytest.raises(KilledError):
                write_pairs(killed(made(4), batch), directory, format="bmp")
            assert len(lines(directory)) == max(there, 4 * batch)
        assert write_pairs(made(4), directory, format="bmp") == 16
        assert files(directory) == whole_run()


def test_a_line_is_written_after_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace
    placed = []

    def watch(source: Path, path: Path) -> None:
        placed.append((path.parent.name, len(lines(tmp_path)) if (tmp_path / "pairs.jsonl").exists() else 0))
        if len(placed) == 6:
            raise OSError("no space left on device")
        replace(source, path)

    monkeypatch.setattr(os, "replace", watch)
    with pytest.raises(MergeMixError, match=r"loser/00000002\.png: cannot be written: no space left"):
        write_pairs(made(2), tmp_path)
    assert placed == [("winner", 0), ("loser", 0), ("winner", 1), ("loser", 1), ("winner", 2), ("loser", 2)]
    assert len(PairFolder(tmp_path)) == 2


def test_a_finished_run_is_unchanged_by_a_second_call(tmp_path: Path) -> None:
    write_pairs(made(), tmp_path)
    before = files(tmp_path)
    assert write_pairs(made(), tmp_path) == 12
    assert files(tmp_path) == before
    assert write_pairs(made(4), tmp_path) == 16  # the same batches and one more
    after = files(tmp_path)
    assert after.pop("pairs.jsonl").startswith(before.pop("pairs.jsonl")) and after.items() > before.items()


@pytest.mark.parametrize(
    ("differ", "batches", "options"),
    [
        ("mass, ratio", lambda: made(4, seed=1), {}),
        ("label, mass, partner, ratio", lambda: itertools.islice(made(4), 1, None), {}),
        ("loser, winner", lambda: made(4), {"format": "bmp"}),
        ("label_name, partner_name", lambda: made(4), {"classes": "abcdefghij"}),
    ],
)
def test_resuming_with_different_pairs_is_refused(
    tmp_path: Path, differ: str, batches: Callable[[], Iterable[PairBatch]], options: dict[str, object]
) -> None:
    write_pairs(made(2), tmp_path)
    before = files(tmp_path)
    with pytest.raises(
        MergeMixError, match=rf"^batches: got a pair that differs from .*pairs.jsonl, line \d+ \(in {differ}\)"
    ):
        write_pairs(batches(), tmp_path, **options)
    with pytest.raises(MergeMixError, match=r"^batches: got 4 pairs, wanted at least the 8 of"):
        write_pairs(made(1), tmp_path)
    assert files(tmp_path) == before


def test_a_ratio_that_differs_by_rounding_is_accepted_on_resume(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    path = tmp_path / "pairs.jsonl"
    first = lines(tmp_path)[0]
    path.write_text("".join(json.dumps(line) + "\n" for line in [first | {"ratio": first["ratio"] + 1e-5}]))
    assert write_pairs(made(1), tmp_path) == 4


def test_resume_false_requires_a_new_or_empty_directory(tmp_path: Path) -> None:
    assert write_pairs(made(1), tmp_path / "new" / "deep", resume=False) == 4
    (tmp_path / "empty").mkdir()
    assert write_pairs(made(1), tmp_path / "empty", resume=False) == 4
    before = files(tmp_path)

    def never() -> Iterator[PairBatch]:
        raise AssertionError("asked for a batch")
        yield

    with pytest.raises(MergeMixError, match=r"^directory: got '.*empty', wanted a new or empty directory"):
        write_pairs(never(), tmp_path / "empty", resume=False)
    failed = tmp_path / "failed"
    with pytest.raises(MergeMixError, match=r"^classes: "):
        write_pairs(made(1), failed, classes=["one"], resume=False)
    assert write_pairs(made(1), failed, resume=False) == 4
    before = files(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(MergeMixError, match=r"^directory: got"):
        write_pairs(never(), tmp_path / "other", resume=False)
    with pytest.raises(MergeMixError, match=r"^directory: got '.*notes.txt', wanted a directory"):
        write_pairs(never(), tmp_path / "other" / "notes.txt")
    assert files(tmp_path) == before | {"other/notes.txt": b""}
