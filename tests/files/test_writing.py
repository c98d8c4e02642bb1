"""After any failure, a file has its old or its new content, and no temporary file is left."""

from __future__ import annotations

import errno
import os
import resource
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.files.writing import append_line, remove_unfinished, whole_file, write_file

from ..mix.batches import quick
from .faults import failing


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limits the size of files, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_text_and_bytes_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "file"
    assert write_file(path, "Käfer\n") == path
    assert path.read_bytes() == "Käfer\n".encode()
    write_file(path, b"\r\n\0", sync=False)
    assert path.read_bytes() == b"\r\n\0"
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_the_digest_is_that_of_the_written_bytes(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as file:
        assert file.write(b"ab") == 2 and file.write(memoryview(bytearray(b"c"))) == 1
    assert file.digest.hexdigest().startswith("ba7816bf")  # FIPS 180-2, "abc"


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("failure", [None, KeyboardInterrupt])
def test_the_old_file_survives_a_failure_of_any_call(
    tmp_path: Path, sync: bool, there: bool, failure: type[BaseException] | None
) -> None:
    path, number = tmp_path / "file", 0
    if there:
        path.write_text("former")
    while True:
        number += 1
        with failing(number, failure=failure) as faults:
            try:
                write_file(path, "new content", sync)
            except (MergeMixError, KeyboardInterrupt) as error:
                if failure is None:
                    assert isinstance(error, MergeMixError) and error.argument == str(path)
                    assert "cannot be written" in str(error) and "No space left" in str(error)
        if not faults.failed:
            break
        assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "former")] * there
    assert number == 4 + sync  # open, write, (fsync,) replace, and one more call that is never made
    assert path.read_text() == "new content" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_is_reported_even_if_the_writer_hides_it(tmp_path: Path) -> None:
    with failing(2), pytest.raises(MergeMixError, match="No space left"), whole_file(tmp_path / "file") as file:
        with suppress(OSError):
            file.write(b"1234")
        with pytest.raises(OSError, match="No space left"):  # otherwise the rest would be written after a gap
            file.write(b"5678")
        raise RuntimeError("unexpected position")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_block_is_passed_on_unchanged(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_file(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "former")
    with largest_file(1000), pytest.raises(MergeMixError, match=r"file: cannot be written: .*File too large"):
        write_file(tmp_path / "file", bytes(5000))
    (tmp_path / "lines").write_bytes(b"a\n")
    with largest_file(1000), pytest.raises(MergeMixError, match="lines: cannot be written"):
        append_line(tmp_path / "lines", bytes(5000))
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"former", "lines": b"a\n"}


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("former")
    for write in (write_file, append_line):
        with failing(1, code=errno.EROFS), pytest.raises(MergeMixError, match=r"cannot be written: .*Read-only"):
            write(tmp_path / "file", b"new")
        with pytest.raises(MergeMixError, match="cannot be written"):
            write(tmp_path / "file" / "below", b"new")
        with pytest.raises(MergeMixError, match="cannot be written"):
            write(tmp_path, b"new")
    assert (tmp_path / "file").read_text() == "former"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_links_are_replaced_and_never_followed(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
    (other / "precious").write_text("mine")
    for name in ("a", "b", "c"):
        (own / name).symlink_to(other / ("absent" if name == "c" else "precious"))
    write_file(own / "a", "new")
    assert not (own / "a").is_symlink() and (own / "a").read_text() == "new"
    for name in ("b", "c"):
        with pytest.raises(MergeMixError, match="cannot be written"):
            append_line(own / name, b"new")
    assert [(each.name, each.read_text()) for each in other.iterdir()] == [("precious", "mine")]


def test_a_link_at_the_path_of_the_temporary_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0123abcd")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".file.0123abcd.tmp").symlink_to(tmp_path / "precious")
    with pytest.raises(MergeMixError, match="cannot be written"):
        write_file(tmp_path / "file", "new")
    assert (tmp_path / "precious").read_text() == "mine" and not (tmp_path / "file").exists()


@quick
@given(
    st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b" "))),
    st.binary(max_size=200_000).map(lambda rest: rest.replace(b"\n", b" ")),
    st.integers(0, 6),
)
def test_a_line_replaces_an_incomplete_last_line(lines: list[bytes], rest: bytes, fault: int) -> None:
    with TemporaryDirectory() as name:
        path, whole = Path(name) / "lines", b"".join(line + b"\n" for line in lines)
        path.write_bytes(whole + rest)
        with failing(fault) as faults:
            try:
                append_line(path, b"new")
            except MergeMixError:
                assert faults.failed and path.read_bytes() in (whole + rest, whole)
            else:
                assert path.read_bytes() == whole + b"new\n"
        append_line(path, b"more", sync=False)
        assert path.read_bytes() in (whole + b"new\nmore\n", whole + b"more\n")


def test_a_long_incomplete_line_is_removed_completely(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"a\n" + bytes(300_000))
    append_line(tmp_path / "lines", b"b")
    assert (tmp_path / "lines").read_bytes() == b"a\nb\n"


def test_temporary_files_of_a_killed_program_are_removed(tmp_path: Path) -> None:
    kept = ["file", "file.tmp", ".file.tmp", ".file.12345678", ".file.1234567g.tmp", ".other.12345678.tmp"]
    for name in (*kept, ".file.0123abcd.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, "file")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(kept)
    remove_unfinished(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(kept[:-1])
    remove_unfinished(tmp_path / "absent")
