"""Tensors are loaded exactly as they were written, or refused."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.files.tensors import check_unchanged, load_tensors, save_tensors

from ..mix.batches import noise, quick
from .faults import failing

STATE = {"weight": noise(7, 5), "half": noise(9, seed=1).half(), "steps": torch.tensor(3), "history": [{"loss": 0.5}]}


def same(a: Any, b: Any) -> bool:
    plain = [{key: value for key, value in each.items() if not torch.is_tensor(value)} for each in (a, b)]
    return plain[0] == plain[1] and all(torch.equal(a[key], b[key]) for key in STATE if torch.is_tensor(STATE[key]))


def written() -> bytes:
    with TemporaryDirectory() as name:
        save_tensors(Path(name) / "file.pt", STATE)
        return (Path(name) / "file.pt").read_bytes()


WRITTEN = written()


def test_saved_files_can_be_loaded_with_and_without_this_library(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.pt"
    save_tensors(path, STATE)
    assert same(load_tensors(path), STATE)
    assert same(torch.load(path, weights_only=True), STATE)
    assert same(torch.load(path, weights_only=True, mmap=True), STATE)
    check_unchanged(path)
    assert [each.name for each in path.parent.iterdir()] == ["file.pt"]


def test_files_without_a_checksum_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(STATE, path)
    assert same(load_tensors(path), STATE)
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert same(load_tensors(path), STATE)
    check_unchanged(path)
    path.write_bytes(b"")
    check_unchanged(path)


@settings(quick, max_examples=300)
@given(st.integers(0, len(WRITTEN) - 1), st.integers(1, 255))
def test_a_file_with_a_flipped_byte_is_refused_or_loads_unchanged(place: int, flip: int) -> None:
    with TemporaryDirectory() as name:
        path, content = Path(name) / "file.pt", bytearray(WRITTEN)
        content[place] ^= flip
        path.write_bytes(content)
        try:
            found = load_tensors(path)
        except MergeMixError as error:
            assert error.argument == str(path) and "is damaged" in str(error)
        else:
            assert same(found, STATE)
            assert place >= len(WRITTEN) - 87  # the flip is in the mark of the checksum


@settings(quick, max_examples=100)
@given(st.integers(0, len(WRITTEN)), st.binary(max_size=40))
def test_a_file_of_another_length_is_refused_or_loads_unchanged(length: int, more: bytes) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "file.pt"
        path.write_bytes(WRITTEN[:length] + more)
        try:
            assert same(load_tensors(path), STATE)
        except MergeMixError as error:
            assert error.argument == str(path)


def test_a_large_file_is_checked_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    save_tensors(path, {"weight": torch.zeros(700_000)})
    check_unchanged(path)
    content = bytearray(path.read_bytes())
    for place in (2_000_000, 2_700_000):
        content[place] ^= 1
        path.write_bytes(content)
        for read in (load_tensors, check_unchanged):
            with pytest.raises(MergeMixError, match=r"file.pt: is damaged"):
                read(path)
        content[place] ^= 1


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\3\4" + bytes(200), b"\x80\x02" * 40])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(MergeMixError, match=r"file.pt: cannot be read as a checkpoint"):
        load_tensors(tmp_path / "file.pt")


def test_the_error_names_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(MergeMixError, match=f"^{path}: cannot be read"):
            load_tensors(path)
        with pytest.raises(MergeMixError, match=f"^{path}: cannot be read"):
            check_unchanged(path)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    torch.save({"weight": Path}, tmp_path / "file.pt")
    with pytest.raises(MergeMixError, match="cannot be read as a checkpoint"):
        load_tensors(tmp_path / "file.pt")


def test_the_old_file_survives_a_failure_of_any_call(tmp_path: Path) -> None:
    path, number = tmp_path / "file.pt", 0
    save_tensors(path, {"weight": torch.zeros(2)})
    while True:
        number += 1
        with failing(number) as faults:
            try:
                save_tensors(path, STATE)
            except MergeMixError as error:
                assert error.argument == str(path) and "No space left" in str(error)
        if not faults.failed:
            break
        assert [each.name for each in tmp_path.iterdir()] == ["file.pt"]
        assert torch.equal(load_tensors(path)["weight"], torch.zeros(2))
    assert number > 20 and same(load_tensors(path), STATE)
