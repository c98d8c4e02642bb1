"""Only one writer has the lock at a time, and a writer that has ended in any way leaves nothing locked."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.files import lock
from timm_mergemix.files.lock import lock_of, locked

from .faults import failing

REFUSED = "is being written by another process"


def hold(path: Path, pipe: Connection) -> None:
    with locked(path):
        pipe.send("locked")
        pipe.recv()


@pytest.fixture
def holder(tmp_path: Path) -> tuple[multiprocessing.Process, Connection]:
    """A process that holds the lock until it is told to end."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path / "file", theirs))
    process.start()
    assert ours.poll(30) and ours.recv() == "locked"
    yield process, ours
    process.kill()
    process.join()


def test_the_second_writer_is_refused_until_the_first_one_ends(tmp_path: Path, holder: tuple) -> None:
    process, pipe = holder
    with pytest.raises(MergeMixError, match=REFUSED) as raised, locked(tmp_path / "file"):
        pytest.fail("two writers")
    assert raised.value.argument == str(tmp_path / "file")
    with locked(tmp_path / "another"):
        pass
    pipe.send("end")
    process.join()
    assert not list(tmp_path.iterdir())
    with locked(tmp_path / "file"):
        assert [each.name for each in tmp_path.iterdir()] == [".file.lock"]


def test_a_killed_writer_leaves_no_lock_and_nothing_unfinished(tmp_path: Path, holder: tuple) -> None:
    process, _ = holder
    (tmp_path / ".file.0123abcd.tmp").touch()
    process.kill()
    process.join()
    assert lock_of(tmp_path / "file").exists()  # the file stays, the lock does not
    with locked(tmp_path / "file"):
        assert [each.name for each in tmp_path.iterdir()] == [".file.lock"]
    assert not list(tmp_path.iterdir())


def test_threads_exclude_each_other_too(tmp_path: Path) -> None:
    errors = []

    def write() -> None:
        try:
            with locked(tmp_path / "file"):
                pass
        except MergeMixError as error:
            errors.append(str(error))

    with locked(tmp_path / "file"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(errors) == 1 and REFUSED in errors[0]


def test_a_lock_on_a_removed_file_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The previous holder removes the file after the next one has opened it but before that one locks it."""
    took, path = lock._lock, lock_of(tmp_path / "file")
    opened = []

    def slow(descriptor: int) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        took(descriptor)

    monkeypatch.setattr(lock, "_lock", slow)
    with locked(tmp_path / "file"):
        assert len(opened) == 2
        assert path.exists()
        monkeypatch.setattr(lock, "_lock", took)
        with pytest.raises(MergeMixError, match=REFUSED), locked(tmp_path / "file"):
            pytest.fail("two writers")


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "new" / "file"):
        raise KeyError
    with locked(tmp_path / "new" / "file"):
        pass


def test_no_file_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with locked(tmp_path / "file"):
        for _ in range(3):
            with pytest.raises(MergeMixError), locked(tmp_path / "file"):
                pytest.fail("two writers")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(MergeMixError, match=r"file: cannot be written: .*Read-only")
    with failing(1, code=errno.EROFS), refused, locked(tmp_path / "file"):
        pytest.fail("locked")
    (tmp_path / "precious").touch()
    lock_of(tmp_path / "file").symlink_to(tmp_path / "precious")
    with pytest.raises(MergeMixError, match="cannot be written"), locked(tmp_path / "file"):
        pytest.fail("locked by a link")
    with pytest.raises(MergeMixError, match="cannot be written"), locked(tmp_path / "precious" / "file"):
        pytest.fail("locked below a file")


def test_a_file_system_without_locks_gives_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", none)
    with pytest.warns(UserWarning, match="file system without locks"), locked(tmp_path / "file"):
        pass
