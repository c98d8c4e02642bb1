"""Checks of file names that were read from a file and so cannot be trusted."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from ..errors import unusable

__all__ = ["is_inside", "own_path", "refuse_link"]


def is_inside(name: str) -> bool:
    """Whether a relative name stays inside its folder, on every operating system."""
    path = PureWindowsPath(name)  # understands both separators and drive letters
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name


def own_path(directory: Path, name: str) -> Path:
    """Returns the path of a file inside a folder; raises if it is outside, or if a link could lead outside.

    Args:
        directory: The folder, which may itself be a link.
        name: The name of the file, relative to the folder.

    Raises:
        MergeMixError: If the name leads out of the folder, or a part of the path is a link.
    """
    if not is_inside(name):
        raise unusable(directory, f"{name!r} leads out of the folder, wanted a file inside it")
    path = directory
    for part in PureWindowsPath(name).parts:
        path /= part
        refuse_link(path)
    return path


def refuse_link(path: Path) -> None:
    """Raises if a path is a link, because its target may belong to somebody else."""
    if path.is_symlink():
        raise unusable(path, "is a link, wanted the file or the folder itself")
