"""The published patch is run from the user's clone, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm

from benchmarks.speed.reference import patch_as_published
from timm_mergemix import MergeMixError


def checkout(folder: Path, text: str) -> Path:
    (folder / "tome" / "patch").mkdir(parents=True)
    for package in ("tome", "tome/patch"):
        (folder / package / "__init__.py").write_text("")
    (folder / "tome" / "patch" / "timm.py").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "tome"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_patch_of_the_clone_is_called(tmp_path: Path) -> None:
    text = "def apply_patch(model, prop_attn):\n    model.was_patched = prop_attn\n"
    model = patch_as_published(timm.create_model("test_vit"), 3, checkout(tmp_path, text))
    assert (model.r, model.was_patched) == (3, True)


def test_a_folder_that_is_not_a_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"reference: got .*wanted a clone"):
        patch_as_published(timm.create_model("test_vit"), 3, tmp_path)


def test_a_clone_that_does_not_work_with_this_timm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="does not work with this timm: nothing there"):
        patch_as_published(timm.create_model("test_vit"), 3, checkout(tmp_path, "raise ImportError('nothing there')"))


def test_an_r_other_than_an_int_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"r: got .*wanted an int"):
        patch_as_published(timm.create_model("test_vit"), ("keep", 0.5), checkout(tmp_path, ""))
