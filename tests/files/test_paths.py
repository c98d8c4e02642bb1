"""A name that was read from a file must lead to a file in its folder, or it is refused."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.files.paths import is_inside, own_path, refuse_link

from ..mix.batches import quick

OUTSIDE = [
    "../x.png",
    "a/../../x.png",
    "a/..",
    "/etc/passwd",
    "//host/share/x",
    "..",
    ".",
    "",
    "\\x",
    "..\\x.png",
    "C:\\x",
    "C:x",
    "a\0b",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    assert not is_inside(name)
    with pytest.raises(MergeMixError, match="leads out of the folder") as raised:
        own_path(tmp_path, name)
    assert raised.value.argument == str(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "./a", "a//b", "...", "a..b/c", " ", "Käfer/\u2028.png"])
def test_names_inside_the_folder_are_accepted(tmp_path: Path, name: str) -> None:
    assert own_path(tmp_path, name) == tmp_path / name


@quick
@given(st.lists(st.sampled_from(["a", "..", ".", "/", "\\", "C:", "b.png", "\0", ""]), max_size=6).map("".join))
def test_no_accepted_name_leads_out_of_the_folder(name: str) -> None:
    with TemporaryDirectory() as directory:
        try:
            path = own_path(Path(directory), name)
        except MergeMixError:
            return
        assert path.resolve().is_relative_to(Path(directory).resolve()) and path != Path(directory)


def test_links_in_the_path_are_refused(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    (other / "below").mkdir(parents=True)
    (other / "x.png").touch()
    (own / "a").mkdir(parents=True)
    (own / "a" / "x.png").symlink_to(other / "x.png")
    (own / "b").symlink_to(other)
    (own / "c").symlink_to(own / "a")
    (own / "d").symlink_to("absent")
    for name in ("a/x.png", "b/x.png", "b/below/x.png", "c/y.png", "d"):
        with pytest.raises(MergeMixError, match="is a link"):
            own_path(own, name)
    (tmp_path / "way").symlink_to(own)  # the folder itself may be a link
    assert own_path(tmp_path / "way", "a/y.png") == tmp_path / "way" / "a" / "y.png"
    refuse_link(own)
    with pytest.raises(MergeMixError, match="way: is a link"):
        refuse_link(tmp_path / "way")
