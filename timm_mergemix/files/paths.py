"""Names of files that are read from a file, which nobody has to have meant well."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from ..errors import unusable

__all__ = ["is_inside", "own_path", "refuse_link"]


def is_inside(name: str) -> bool:
    """Whether a name is that of something in a folder or below, on every system."""
    path = PureWindowsPath(name)  # knows both separators, and drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name


def own_path(directory: Path, name: str) -> Path:
    """The path of a file below a folder; what is elsewhere, or may be by a link, is refused.

    Args:
        directory: The folder, itself maybe a link.
        name: Relative to it.

    Raises:
        MergeMixError: If the name leads out of the folder, or a link is on the way.
    """
    if not is_inside(name):
        raise unusable(directory, f"{name!r} leads out of it, wanted a file inside")
    path = directory
    for part in PureWindowsPath(name).parts:
        path /= part
        refuse_link(path)
    return path


def refuse_link(path: Path) -> None:
    """Raises if something is a link, since what it leads to may be anybody's."""
    if path.is_symlink():
        raise unusable(path, "is a link, wanted the file or the folder itself")
