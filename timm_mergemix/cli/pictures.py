"""Pictures of a command, and the files that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from ..files.writing import whole_file, write_file
from ..version import __version__
from .page import html_page, html_paragraph, html_picture, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "report_page", "save_figure", "write_results"]


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
        save_figure(picture.figure, out / f"{picture.name}.png")
    for name, text in texts.items():
        write_file(out / name, text)
    return [out / name for name in (*(f"{picture.name}.png" for picture in pictures), *texts)]


def save_figure(figure: Figure, path: Path, **options: Any) -> Path:
    """Writes a figure in the format of the file's name, and returns the path.

    Args:
        figure: Which one.
        path: Where to.
        **options: Of matplotlib's ``savefig``.
    """
    with whole_file(path) as file:
        figure.savefig(cast(IO[bytes], file), format=path.suffix[1:], **options)
    return path


def report_page(
    title: str,
    pictures: Sequence[Picture],
    table: tuple[Sequence[str], Sequence[Sequence[str]]],
    said: tuple[str, str],
    settings: Mapping[str, Any],
    links: Mapping[str, str] | None = None,
) -> str:
    """One page with everything in it, to be kept or sent.

    Args:
        title: Of the page.
        pictures: Shown with their headings and captions.
        table: Its header and its rows.
        said: What stands before the table, and after it.
        settings: Shown at the end, by name.
        links: Words in what is said -> the address that they lead to.
    """
    values = ", ".join(f"{name} {value}" for name, value in settings.items())
    body = [
        html_paragraph(said[0], links),
        html_table(*table),
        html_paragraph(said[1], links),
        *(html_picture(picture.figure, picture.heading, picture.caption) for picture in pictures),
        html_paragraph(f"timm-mergemix {__version__}. Settings: {values}."),
    ]
    return html_page(title, body)
