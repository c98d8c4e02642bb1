"""Where the demo's images come from, in which order, and how they are drawn."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training import sources
from timm_mergemix.training.images import ImageSet
from timm_mergemix.training.sources import draw_splits, find_source

from .made import striped, write_fashion, write_folder


class Downloaded:
    """Stands for torchvision's FashionMNIST."""

    classes = sources.FashionMNIST.classes

    def __init__(self, root: str, train: bool, download: bool) -> None:
        part = striped(30 if train else 10)
        self.data, self.targets = part.images[:, 0], part.labels


class Unreachable(Downloaded):
    """What it does without a network."""

    def __init__(self, *args: object, **options: object) -> None:
        raise URLError("no network\nof two lines")


@pytest.fixture(autouse=True)
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(sources, "FashionMNIST", Unreachable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def silent(line: str) -> None:
    raise AssertionError(line)


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    source = find_source(None, said.append)
    assert source.name == "scikit-learn's digits"
    assert "no network of two lines" in said[0] and "digits instead" in said[0]

    monkeypatch.setattr(sources, "FashionMNIST", Downloaded)
    source = find_source(None, silent)
    assert source.name == "Fashion-MNIST" and "downloaded by torchvision" in source.origin
    assert source.train.take(torch.tensor([1])).images.shape == (1, 1, 8, 8) and len(source.test) == 10

    write_fashion(tmp_path / "debian")
    source = find_source(None, silent)
    assert source.name == "Fashion-MNIST" and source.origin == str(tmp_path / "debian")
    assert source.classes[9] == "Ankle boot"

    assert find_source(write_folder(tmp_path / "photos"), silent).name == "image folder"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_data_with_idx_files(tmp_path: Path, suffix: str) -> None:
    source = find_source(write_fashion(tmp_path / "mine", suffix=suffix), silent)
    assert (source.name, len(source.train), len(source.test)) == ("Fashion-MNIST", 40, 20)


def test_data_with_a_folder(tmp_path: Path) -> None:
    source = find_source(str(write_folder(tmp_path / "mine", each=10)), silent)
    assert source.classes == ("cat", "dog") and (len(source.train), len(source.test)) == (16, 4)
    assert source.train.take(torch.tensor([0])).images.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("name", ["absent", "."])
def test_data_without_anything(tmp_path: Path, name: str) -> None:
    with pytest.raises(MergeMixError, match="data: "):
        find_source(tmp_path / name, silent)


def test_digits() -> None:
    source = sources.from_digits()
    everything = source.train.take(torch.arange(len(source.train)))
    assert everything.images.shape == (1438, 1, 28, 28) and len(source.test) == 359
    assert everything.images.max() >= 250 and sorted(everything.labels.unique().tolist()) == list(range(10))


def test_more_classes_than_fashion_has(tmp_path: Path) -> None:
    part = ImageSet(striped(4).images, torch.tensor([0, 3, 11, 2]))
    assert sources._fashion(part, part, "here").classes == tuple(map(str, range(12)))


def source_of(count: int) -> sources.Source:
    """The label of an image is its index."""
    part = ImageSet(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count))
    return sources.Source("made", "here", part, part, ("a", "b"), 1, 0, False)


def test_draw_splits() -> None:
    data = draw_splits(source_of(100), 50, 10, 30, seed=1)
    assert (len(data.train), len(data.val), len(data.test)) == (50, 10, 30)
    assert not set(data.train.labels.tolist()) & set(data.val.labels.tolist())
    again, other = (draw_splits(source_of(100), 50, 10, 30, seed=seed) for seed in (1, 2))
    assert torch.equal(data.train.labels, again.train.labels)
    assert not torch.equal(data.train.labels, other.train.labels)


def test_small_sources_give_what_they_have() -> None:
    data = draw_splits(source_of(20), 1000, 500, 1000, seed=0)
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 20)
    with pytest.raises(MergeMixError, match="at least 3"):
        draw_splits(source_of(2), 10, 1, 10, seed=0)
    with pytest.raises(MergeMixError, match="train_size: got 0"):
        draw_splits(source_of(20), 0, 1, 1, seed=0)
