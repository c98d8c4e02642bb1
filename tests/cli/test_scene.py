"""The images that `show` draws are found in files, directories and folders of classes."""

from pathlib import Path

import pytest

from timm_mergemix.cli.scene import class_folders, find_classes, find_images
from timm_mergemix.errors import MergeMixError

from ..training.made import write_folder


def test_images_are_found(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images([tmp_path, tmp_path / "b.png"])] == ["a.jpg", "b.png", "c.png", "b.png"]
    for name in ("7/a.png", "7/b.png", "1/c.png"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / name).touch()
    assert [path.name for path in find_images([tmp_path / "classes"])] == ["c.png", "a.png", "b.png"]
    for name in (".cache", "notes"):  # no classes
        (tmp_path / "classes" / name).mkdir()
    assert [path.name for path in class_folders([tmp_path / "classes"])] == ["1", "7"]
    (tmp_path / "classes" / "own.png").touch()
    assert class_folders([tmp_path / "classes"]) == []
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing.png"):
        with pytest.raises(MergeMixError, match="images: got"):
            find_images([path])


def test_classes_are_found(tmp_path: Path) -> None:
    write_folder(tmp_path / "val", each=6, size=8)
    paths, labels, names = find_classes([tmp_path / "val"], 8)
    assert len(paths) == 8 and labels == [0] * 4 + [1] * 4 and names == sorted(names)
    assert all(path.parent.name == names[label] for path, label in zip(paths, labels, strict=True))
    for given in ([], [tmp_path / "val" / names[0]], [tmp_path / "val", tmp_path / "val"], [paths[0]]):
        with pytest.raises(MergeMixError, match="one directory with a directory of images for each class"):
            find_classes(given, 8)
