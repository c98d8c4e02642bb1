"""The idx files of the MNIST family are read whole, and damaged ones are refused by their path."""

import gzip
from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.idx import has_idx, read_split

from .made import striped, write_fashion, write_idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_read_split(tmp_path: Path, suffix: str) -> None:
    assert not has_idx(tmp_path)
    write_fashion(tmp_path, train=6, test=4, suffix=suffix)
    before = sorted(tmp_path.iterdir())
    assert has_idx(tmp_path)
    images, labels = read_split(tmp_path, "train")
    assert torch.equal(images, striped(6).images) and images.shape == (6, 1, 8, 8)
    assert torch.equal(labels, striped(6).labels) and labels.dtype == torch.int64
    assert len(read_split(tmp_path, "test")[1]) == 4
    assert sorted(tmp_path.iterdir()) == before  # the directory may be one that nobody may write to


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (IMAGES, b""),
        (IMAGES, b"\x00\x00\x0d\x03" + bytes([0, 0, 0, 1] * 3) + bytes(4)),  # floats
        (IMAGES, b"\x00\x00\x08\x01\x00\x00\x00\x01\x00"),  # of one dimension
        (LABELS, b"\x00\x00\x08\x01\x00\x00\x00\x05\x00"),  # one label of five
        (LABELS, b"\x00\x00\x08\x01\x00\x00\x00\x01\x00\x00"),  # two of one
        (IMAGES + ".gz", b"no gzip"),
        (IMAGES + ".gz", gzip.compress(bytes(200), mtime=0)[:-12]),
        (IMAGES + ".gz", gzip.compress(bytes(200), mtime=0)[:10] + b"\xff" * 20),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    write_fashion(tmp_path, suffix="")
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MergeMixError, match=rf"{name}: cannot be read as an idx file of unsigned bytes: .+"):
        read_split(tmp_path, "train")


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_fashion(tmp_path, suffix="")
    write_idx(tmp_path / LABELS, torch.zeros(3))
    with pytest.raises(MergeMixError, match=r"the train split in .* has 40 images and 3 labels"):
        read_split(tmp_path, "train")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert not has_idx(tmp_path)
    with pytest.raises(MergeMixError, match="lacks the idx files of the test split"):
        read_split(tmp_path, "test")
