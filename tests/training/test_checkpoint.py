"""Checkpoints are whole at any moment, and tell runs of other settings apart."""

from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.checkpoint import differing, load_checkpoint, save_checkpoint

from ..files.faults import failing

STATE = {"settings": {"a": (1, 2)}, "epochs_done": 1, "model": {}, "optimizer": {}, "history": []}


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.pt"
    save_checkpoint(path, STATE)
    assert load_checkpoint(path) == STATE
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)

    def fail(state: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {**STATE, "epochs_done": 2})
    assert load_checkpoint(path)["epochs_done"] == 1


def test_a_checkpoint_of_an_earlier_version_is_loaded(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt") == STATE


def test_flipped_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    state = {**STATE, "model": {"weight": torch.arange(100.0)}}
    save_checkpoint(path, state)
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(100.0).numpy().tobytes())
    for bit in range(60):
        content[place + 4 * bit + 3] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(MergeMixError, match=r"last\.pt: is damaged"):
            load_checkpoint(path)
        content[place + 4 * bit + 3] ^= 1 << bit % 8
    path.write_bytes(content)
    assert torch.equal(load_checkpoint(path)["model"]["weight"], torch.arange(100.0))


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    for number in (1, 2, 5, 9):
        with failing(number), pytest.raises(MergeMixError, match=r"last\.pt: cannot be written: .*No space left"):
            save_checkpoint(path, {**STATE, "epochs_done": 2})
        assert load_checkpoint(path) == STATE and [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"nothing of the kind"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(MergeMixError, match=r"last\.pt: cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


def test_files_of_another_kind(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "last.pt")
    with pytest.raises(MergeMixError, match="another kind"):
        load_checkpoint(tmp_path / "last.pt")


def test_differing() -> None:
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 2}) == ""
    assert differing({"a": 1, "b": 2}, {"b": 3, "a": 1}) == "b (2 there, 3 now)"
    assert differing({}, {"c": "x"}) == "c (None there, 'x' now)"
