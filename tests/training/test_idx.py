import gzip
from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.idx import find_idx, has_idx, read_idx, read_split

from .made import striped, write_fashion, write_idx


@pytest.mark.parametrize("name", ["values", "values.gz"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_read_idx(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    values = torch.randint(0, 256, shape, dtype=torch.uint8)
    assert torch.equal(read_idx(write_idx(tmp_path / name, values)), values)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_read_split(tmp_path: Path, suffix: str) -> None:
    assert not has_idx(tmp_path)
    write_fashion(tmp_path, train=6, test=4, suffix=suffix)
    assert has_idx(tmp_path)
    images, labels = read_split(tmp_path, "train")
    assert torch.equal(images, striped(6).images) and images.shape == (6, 1, 8, 8)
    assert torch.equal(labels, striped(6).labels) and labels.dtype == torch.int64
    assert len(read_split(tmp_path, "test")[1]) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a", b"", "starts with b''"),
        ("a", b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "unsigned bytes"),
        ("a", b"\x00\x00\x08\x01\x00\x00\x00\x05\x00", "got 1 values, wanted 5"),
        ("a.gz", b"no gzip", "cannot be read"),
        ("a.gz", gzip.compress(bytes(200), mtime=0)[:-12], "cannot be read"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MergeMixError, match=message):
        read_idx(tmp_path / name)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_fashion(tmp_path, suffix="")
    write_idx(tmp_path / "train-labels-idx1-ubyte", torch.zeros(3))
    with pytest.raises(MergeMixError, match="train split"):
        read_split(tmp_path, "train")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert find_idx(tmp_path, "test", "labels") is None
    with pytest.raises(MergeMixError, match="lacks the idx files of the test split"):
        read_split(tmp_path, "test")
