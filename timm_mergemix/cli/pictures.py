"""Pictures of a command, and the files that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "write_results"]


class Picture(NamedTuple):
    """A figure, the name of its file, and what is said about it."""

    name: str
    figure: Figure
    heading: str
    caption: str


def write_results(pictures: Sequence[Picture], texts: Mapping[str, str], out: Path) -> list[Path]:
    """Writes pictures and texts into a directory, and returns the paths.

    Args:
        pictures: Written as PNG files.
        texts: Name of a file -> what it holds.
        out: The directory.
    """
    for picture in pictures:
        picture.figure.savefig(out / f"{picture.name}.png")
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in (*(f"{picture.name}.png" for picture in pictures), *texts)]
