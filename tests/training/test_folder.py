"""Image folders: which images are for training and validation, and errors about folders and images."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from timm_mergemix import MergeMixError
from timm_mergemix.training.folder import PathDataset, find_folder, read_image

from ..preference.test_disk_files import huge_png
from .made import striped, write_folder


@pytest.mark.parametrize("val", ["val", "validation", "test"])
def test_train_and_val(tmp_path: Path, val: str) -> None:
    write_folder(tmp_path / "train", each=4)
    write_folder(tmp_path / val, each=2)
    splits = find_folder(tmp_path)
    assert (len(splits.train), len(splits.val), splits.classes) == (8, 4, ("cat", "dog"))
    assert all(Path(path).parent.name == splits.classes[label] for path, label in (*splits.train, *splits.val))
    assert all(Path(path).is_relative_to(tmp_path / val) for path, _ in splits.val)


def test_val_may_lack_a_class(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("a", "b", "c"), each=2)
    write_folder(tmp_path / "val", ("c", "a"), each=1)
    assert sorted(label for _, label in find_folder(tmp_path).val) == [0, 2]


@pytest.mark.parametrize("parent", [".", "train"])
def test_every_fifth_image_is_held_out(tmp_path: Path, parent: str) -> None:
    write_folder(tmp_path / parent, each=11)
    splits = find_folder(tmp_path)
    assert [label for _, label in splits.val] == [0, 0, 1, 1] and len(splits.train) == 18
    assert not {path for path, _ in splits.train} & {path for path, _ in splits.val}
    assert splits == find_folder(tmp_path) and "every fifth" in splits.how


def test_files_of_other_programs_are_not_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("a", "b", ".cache", "__MACOSX"), each=2)
    write_folder(tmp_path / "val", ("a", "b", "__MACOSX"), each=2)
    (tmp_path / "train" / "a" / "notes.txt").write_text("no image")
    splits = find_folder(tmp_path)
    assert splits.classes == ("a", "b") and (len(splits.train), len(splits.val)) == (4, 4)


def test_images_may_lie_deeper_in_the_folder_of_their_class(tmp_path: Path) -> None:
    write_folder(tmp_path / "cat", ("1", "2"), each=3)
    write_folder(tmp_path, ("dog",), each=3)
    splits = find_folder(tmp_path)
    assert splits.classes == ("cat", "dog")
    assert [label for _, label in (*splits.train, *splits.val)].count(0) == 6


def test_small_classes_give_their_last_image(tmp_path: Path) -> None:
    splits = find_folder(write_folder(tmp_path, each=2))
    assert len(splits.train) == len(splits.val) == 2


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="existing directory"):
        find_folder(tmp_path / "absent")
    with pytest.raises(MergeMixError, match="no image folder"):
        find_folder(tmp_path)
    write_folder(tmp_path / "val", each=2)
    with pytest.raises(MergeMixError, match="no image folder"):
        find_folder(tmp_path)
    write_folder(tmp_path / "one" / "train", ("cat",))
    with pytest.raises(MergeMixError, match="at least two classes"):
        find_folder(tmp_path / "one")
    write_folder(tmp_path / "few", each=1)
    with pytest.raises(MergeMixError, match="has one image"):
        find_folder(tmp_path / "few")
    (write_folder(tmp_path / "empty", each=2) / "bird").mkdir()
    with pytest.raises(MergeMixError, match="empty: Found no valid file for the classes bird"):
        find_folder(tmp_path / "empty")
    write_folder(tmp_path / "train", each=2)
    write_folder(tmp_path / "val", ("cow", "dog"), each=2)
    with pytest.raises(MergeMixError, match="lacks: cow"):
        find_folder(tmp_path)
    flat = tmp_path / "flat"
    write_folder(flat / "train", each=2)
    (flat / "val").mkdir()
    with pytest.raises(MergeMixError, match="val has no folder of a class, wanted val/CLASS/ with images inside"):
        find_folder(flat)


def test_datasets_read_what_was_written(tmp_path: Path) -> None:
    splits = find_folder(write_folder(tmp_path, each=5))
    images = striped(10, 16, channels=3).images
    dataset = PathDataset(splits.train, pil_to_tensor)
    assert len(dataset) == 8 and dataset[0][1] == 0 and torch.equal(dataset[0][0], images[0])
    taken = dataset.take(torch.tensor([7, 0]))
    assert torch.equal(taken.images[1], images[0]) and taken.images.dtype == torch.uint8
    assert taken.labels.tolist() == [1, 0]


def test_broken_image(tmp_path: Path) -> None:
    splits = find_folder(write_folder(tmp_path, each=5))
    path = Path(splits.train[3][0])
    whole = path.read_bytes()
    # The second one is a SyntaxError, the third one far too many pixels for Pillow.
    for damaged in (b"no image", whole[:40] + b"\1\2\3\4" * 3 + whole[52:], huge_png(20_000)):
        path.write_bytes(damaged)
        with pytest.raises(MergeMixError, match="cannot be read as an image"):
            PathDataset(splits.train, pil_to_tensor)[3]


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparent_colours_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    pixels = pil_to_tensor(read_image(tmp_path / "a.png"))
    assert pixels[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 50]]
