"""Pairs on disk survive concurrent writers, missing files, links and write faults."""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import zlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.pairs import PairBatch

from ..files.faults import failing
from ..files.test_writing import largest_file
from ..mix.batches import quick
from .written import files, lines, made


@functools.cache
def whole_run(count: int = 2, suffix: str = "png") -> dict[str, bytes]:
    with TemporaryDirectory() as directory:
        write_pairs(made(count), directory, format=suffix)
        return files(Path(directory))


def restore(directory: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


def slowly(pipe: Connection) -> Iterator[PairBatch]:
    """Yields each batch only when asked to."""
    for pairs in made(2):
        pipe.send("ready")
        pipe.recv()
        yield pairs


def write_slowly(directory: Path, pipe: Connection) -> None:
    write_pairs(slowly(pipe), directory)
    pipe.send("end")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[multiprocessing.Process, Connection]]:
    """Another process that has written one batch and is still running."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=write_slowly, args=(tmp_path, theirs))
    process.start()
    for message in (None, "go on"):
        if message is not None:
            ours.send(message)
        assert ours.poll(60) and ours.recv() == "ready"
    yield process, ours
    process.kill()
    process.join()


def test_a_second_process_cannot_write_to_the_same_directory(
    tmp_path: Path, writer: tuple[multiprocessing.Process, Connection]
) -> None:
    process, pipe = writer
    before = files(tmp_path)
    for resume in (True, False):
        with pytest.raises(MergeMixError, match=r"pairs\.jsonl: is being written by another process"):
            write_pairs(made(2), tmp_path, resume=resume)
    assert files(tmp_path) == before and len(PairFolder(tmp_path)) == 4
    pipe.send("go on")
    assert pipe.poll(60) and pipe.recv() == "end"
    process.join()
    assert files(tmp_path) == whole_run()


def test_a_run_resumes_after_its_process_was_killed(
    tmp_path: Path, writer: tuple[multiprocessing.Process, Connection]
) -> None:
    process, _ = writer
    process.kill()
    process.join()
    (tmp_path / "winner" / ".00000004.png.0123abcd.tmp").write_bytes(b"half an image")
    assert write_pairs(made(2), tmp_path) == 8
    assert files(tmp_path) == whole_run()


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "other pixels", "link", "other size"])
def test_missing_or_damaged_images_are_rewritten(tmp_path: Path, suffix: str, damage: str) -> None:
    whole, name = whole_run(suffix=suffix), f"loser/00000001.{suffix}"
    restore(tmp_path / "own", whole)
    path = tmp_path / "own" / name
    path.unlink()
    if damage == "link":
        (tmp_path / "precious").write_bytes(whole[name])
        path.symlink_to(tmp_path / "precious")
    elif damage == "other size":
        Image.new("RGB", (4, 4)).save(path)
    elif damage != "missing":
        other = whole[f"loser/00000002.{suffix}"]
        path.write_bytes({"empty": b"", "truncated": whole[name][:-30], "other pixels": other}[damage])
    stamp = (tmp_path / "own" / f"loser/00000000.{suffix}").stat().st_mtime_ns
    assert write_pairs(made(2), tmp_path / "own", format=suffix) == 8
    assert files(tmp_path / "own") == whole and not path.is_symlink()
    assert (tmp_path / "own" / f"loser/00000000.{suffix}").stat().st_mtime_ns == stamp
    if damage == "link":
        assert (tmp_path / "precious").read_bytes() == whole[name]


@settings(quick, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_in_a_png_is_detected_or_harmless(place: int, flip: int) -> None:
    with TemporaryDirectory() as name:
        restore(Path(name), whole_run(1))
        wanted = PairFolder(name)[1]["loser"]
        path = Path(name) / "loser/00000001.png"
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= flip
        path.write_bytes(content)
        try:
            assert torch.equal(PairFolder(name)[1]["loser"], wanted)
        except MergeMixError as error:
            assert "cannot be read as an image" in str(error)


def test_images_are_not_written_through_links(tmp_path: Path) -> None:
    own, precious = tmp_path / "own", tmp_path / "precious.png"
    (own / "winner").mkdir(parents=True)
    precious.write_bytes(b"mine")
    (own / "winner" / "00000000.png").symlink_to(precious)
    (own / "winner" / "00000001.png").symlink_to(tmp_path / "absent.png")
    assert write_pairs(made(2), own) == 8
    assert precious.read_bytes() == b"mine" and not (tmp_path / "absent.png").exists()
    assert files(own) == whole_run() and not any(path.is_symlink() for path in own.rglob("*"))


@pytest.mark.parametrize("name", ["winner", "loser", "pairs.jsonl", ".pairs.jsonl.lock"])
def test_links_in_place_of_folders_and_lines_are_refused(tmp_path: Path, name: str) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    restore(other, {"pairs.jsonl": b"mine", ".pairs.jsonl.lock": b"mine", "winner/a": b"mine", "loser/a": b"mine"})
    (own / name).symlink_to(other / name)
    with pytest.raises(MergeMixError, match=r"is a link|cannot be written"):
        write_pairs(made(2), own)
    assert set(files(other).values()) == {b"mine"} and len(files(other)) == 4


@pytest.mark.parametrize("name", ["winner", "winner/00000001.png", "pairs.jsonl"])
def test_files_are_not_read_through_links(tmp_path: Path, name: str) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for directory in (own, other):
        restore(directory, whole_run())
    path = own / name
    os.rename(path, tmp_path / "away")
    path.symlink_to(other / name)
    with pytest.raises(MergeMixError, match="is a link, wanted"):
        PairFolder(own)[1]


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "real")
    assert write_pairs(made(2), tmp_path / "way") == 8
    assert files(tmp_path / "real") == whole_run() and len(PairFolder(tmp_path / "way")[0]["winner"]) == 3


def test_a_pipe_in_place_of_an_image_is_refused(tmp_path: Path) -> None:
    restore(tmp_path, whole_run())
    (tmp_path / "loser/00000001.png").unlink()
    os.mkfifo(tmp_path / "loser/00000001.png")
    with pytest.raises(MergeMixError, match=r"line 2: got loser/00000001\.png, which cannot be read"):
        PairFolder(tmp_path)[1]
    assert write_pairs(made(2), tmp_path) == 8 and files(tmp_path) == whole_run()


def huge_png(side: int) -> bytes:
    """A PNG whose header declares a huge size, for which a reader would allocate memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_an_image_that_exceeds_the_size_limit_is_refused_by_name(tmp_path: Path) -> None:
    restore(tmp_path, whole_run())
    (tmp_path / "winner/00000002.png").write_bytes(huge_png(20_000))
    with pytest.raises(MergeMixError, match=r"line 3: got winner/00000002\.png, .*exceeds limit"):
        PairFolder(tmp_path)[2]
    assert write_pairs(made(2), tmp_path) == 8 and files(tmp_path) == whole_run()


@pytest.mark.parametrize("failure", [None, KeyboardInterrupt])
def test_every_line_is_a_complete_pair_whichever_file_operation_fails(
    tmp_path: Path, failure: type[BaseException] | None
) -> None:
    whole, number = whole_run(1), 0
    while True:
        number += 1
        directory = tmp_path / str(number)
        with failing(number, failure=failure) as faults:
            try:
                write_pairs(made(1), directory)
            except (MergeMixError, KeyboardInterrupt) as error:
                if failure is None:
                    assert isinstance(error, MergeMixError) and str(directory) in error.argument
                    assert "No space left" in str(error)
        if not faults.failed:
            break
        left = files(directory)
        assert {name: data for name, data in left.items() if name != "pairs.jsonl"}.items() <= whole.items()
        assert (
            whole["pairs.jsonl"].startswith(left.get("pairs.jsonl", b""))
            and not left.get("pairs.jsonl", b"\n")[-1:].strip()
        )
        there = lines(directory) if "pairs.jsonl" in left else []
        assert all(line[name] in left for line in there for name in ("winner", "loser"))
        assert write_pairs(made(1), directory) == 4 and files(directory) == whole
    assert number > 30 and files(directory) == whole


def test_a_full_disk_leaves_only_complete_pairs(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)

    def batches() -> Iterator[PairBatch]:
        for size in (8, 64):
            for pairs in made(1, size=size):
                pairs.winner.copy_(torch.from_numpy(noise.integers(0, 256, tuple(pairs.winner.shape), dtype=np.uint8)))
                yield pairs

    with (
        largest_file(4000),
        pytest.raises(MergeMixError, match=r"winner/00000004\.png: cannot be written: .*large"),
    ):
        write_pairs(batches(), tmp_path)
    assert len(PairFolder(tmp_path)) == 4 and len(files(tmp_path)) == 9


def test_a_directory_that_cannot_be_written_is_refused_and_unchanged(tmp_path: Path) -> None:
    restore(tmp_path, whole_run(1))
    before = files(tmp_path)
    with failing(1, code=errno.EROFS), pytest.raises(MergeMixError, match=r"cannot be written: .*Read-only"):
        write_pairs(made(2), tmp_path)
    assert files(tmp_path) == before
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "winner").touch()  # a file where a folder must be
    with pytest.raises(MergeMixError, match=r"new: cannot be written"):
        write_pairs(made(2), tmp_path / "new")
    assert files(tmp_path / "new") == {"winner": b""}


@pytest.mark.parametrize("directory", [None, 3, b"there", "a\0b"])
def test_a_value_that_is_not_a_directory_path_is_refused(directory: object) -> None:
    for use in (PairFolder, lambda directory: write_pairs(made(1), directory)):
        with pytest.raises(MergeMixError, match=r"^directory: got .*, wanted the path of a directory"):
            use(directory)


@pytest.mark.parametrize("options", [{"resume": "no"}, {"classes": 5}, {"classes": {0: "a"}}])
def test_options_are_checked_before_anything_is_written(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{next(iter(options))}: got"):
        write_pairs(made(1), tmp_path / "new", **options)
    assert not list(tmp_path.iterdir())
