"""Pairs on disk, for other trainers: image files and one line of JSON per pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import Words, check_bool, check_choice, unusable, wrong
from ..files.lock import lock_of, locked
from ..files.paths import own_path, refuse_link
from ..files.writing import append_line, remove_unfinished, write_file
from .lines import IMAGES, LINES, Line, check_same, line_of, read_lines, to_text
from .pairs import PairBatch
from .pixels import read_pixels, statistics_of, to_pil, to_pixels

__all__ = ["FORMATS", "PairFolder", "write_pairs"]

FORMATS = ("png", "bmp")


def write_pairs(
    batches: Iterable[PairBatch],
    directory: str | Path,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    format: str = "png",
    resume: bool = True,
) -> int:
    """Writes winners, losers and their scores to a directory; `PairFolder` reads them back.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479). The directory gets ``winner/00000000.png``, ``loser/00000000.png``, ..., and ``pairs.jsonl``
    with one line per pair::

        {"id": 0, "winner": "winner/00000000.png", "loser": "loser/00000000.png", "label": 3, "partner": 5,
         "ratio": 0.25, "mass": 0.25, "kind": "mergemix"}

    ``label`` and ``partner`` are the classes of the winner and of the image that was mixed in; ratio and mass are those
    of `PairBatch`. Rows that are not pairs are skipped.

    A line is written after its images, so every complete line is a complete pair, however the program ends. To resume,
    call it again with the same arguments and with ``batches`` from the start. A truncated line is dropped. The pairs
    that exist already are compared with the first ones of ``batches``, and images that are missing, damaged or
    different are rewritten. If ``batches`` repeat themselves (same order and seed), the result is that of a single run.
    If a label, partner or ratio differs, nothing is added and an error is raised.

    A file is moved into place once it is complete, so a full disk leaves no partial file. A second call that writes to
    the same directory at the same time is refused. Nothing outside the directory is written: a link in place of an
    image is replaced, and a link in place of a folder or of ``pairs.jsonl`` is refused.

    Args:
        batches: Pairs, for example from a ``DataLoader`` whose ``collate_fn`` is `PreferencePairs.collate`. Images have
            1 or 3 channels. uint8 is written unchanged; float is rounded to 8 bits.
        directory: Output directory, created if it does not exist.
        mean: Mean with which float images were normalised, one number or one per channel; None if they are in [0, 1].
        std: Standard deviation with which they were normalised, in the same form.
        classes: Names of the classes; written as ``label_name`` and ``partner_name``.
        format: ``"png"``, or ``"bmp"``, which is larger and faster; both are lossless. PNG has checksums, so bits that
            flip on the disk are detected when a file is read.
        resume: Whether to continue in a directory with pairs; with False it must be new or empty.

    Returns:
        Number of pairs in the directory.

    Raises:
        MergeMixError: If an argument or a batch does not fit, if pixels are clearly outside [0, 1] once ``mean`` and
            ``std`` are undone, if another call is writing to the directory, or if it cannot be written.
    """
    check_choice("format", format, FORMATS)
    check_bool("resume", resume)
    statistics = statistics_of(mean, std)
    if not isinstance(batches, Iterable):
        raise wrong("batches", batches, "an iterable of PairBatch")
    if classes is not None and not isinstance(classes, Sequence):
        raise wrong("classes", classes, "a sequence of names, or None")
    directory = _directory(directory)
    with locked(directory / LINES):
        done = _start(directory, resume)
        count = 0
        for pairs, row in _rows(batches):
            line = line_of(pairs, row, count, classes, format)
            if count < len(done):
                check_same(directory, done[count], line)
            for name in IMAGES:
                image, path = to_pil(name, getattr(pairs, name)[row], statistics), directory / line[name]
                if count >= len(done) or not _holds(path, image):
                    _write_image(path, image, format)
            if count >= len(done):
                append_line(directory / LINES, to_text(line), sync=False)
            count += 1
        if count < len(done):
            raise wrong("batches", Words(f"{count} pairs"), f"at least the {len(done)} of {directory / LINES}")
    return count


class PairFolder(Dataset[dict[str, Any]]):
    """Pairs that `write_pairs` wrote to disk. Lines may have been removed since, and keys added.

    An item is a dictionary with ``winner`` and ``loser``, (C, H, W) uint8 or the results of ``transform``; ``label``
    and ``partner``, integers; ``ratio`` and ``mass``, float32 scalar tensors. A ``DataLoader`` can batch them.

    Args:
        directory: The directory that was passed to `write_pairs`.
        transform: (C, H, W) uint8 -> anything, called for the winner and then for the loser. It must not be random,
            since winner and loser would then differ by more than the mixing.

    Attributes:
        lines: Each pair's line in ``pairs.jsonl`` as a dictionary, with its ``kind`` and the names of the classes.

    Raises:
        MergeMixError: If there are no pairs or a line is broken. Taking an item raises it if an image cannot be read.
    """

    def __init__(self, directory: str | Path, transform: Callable[[Tensor], Any] | None = None) -> None:
        self.directory = _directory(directory)
        self.transform = transform
        self.lines, rest = read_lines(self.directory)
        if rest:
            where = f"{self.directory / LINES}, line {len(self.lines) + 1}"
            raise unusable(where, "got a truncated line; write_pairs(resume=True) continues from there")
        if not self.lines:
            raise wrong("directory", Words(f"no pairs in {self.directory / LINES}"), "the output of write_pairs")

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> dict[str, Any]:
        line = self.lines[index]
        images = {name: self._image(index, line[name]) for name in IMAGES}
        scores = {name: torch.tensor(line[name], dtype=torch.float32) for name in ("ratio", "mass")}
        return images | {"label": line["label"], "partner": line["partner"]} | scores

    def _image(self, index: int, name: str) -> Any:
        try:
            pixels = read_pixels(own_path(self.directory, name))
        except Exception as error:  # whatever Pillow raises for a file that is damaged, or far too large
            number = range(len(self.lines))[index] + 1
            where = f"{self.directory / LINES}, line {number}"
            raise unusable(where, f"got {name}, which cannot be read as an image: {error}") from error
        return pixels if self.transform is None else self.transform(pixels)


def _directory(value: str | Path) -> Path:
    if not isinstance(value, (str, Path)) or "\0" in str(value):
        raise wrong("directory", value, "the path of a directory")
    directory = Path(value)
    if directory.exists() and not directory.is_dir():
        raise wrong("directory", str(directory), "a directory")
    return directory


def _start(directory: Path, resume: bool) -> list[Line]:
    """Prepares the directory for more pairs, and returns the lines of those that it has."""
    if not resume and not all(map(_is_empty, directory.iterdir())):
        raise wrong("directory", str(directory), "a new or empty directory, since resume is False")
    done, rest = read_lines(directory)
    for number, line in enumerate(done):
        if line["id"] != number:
            raise wrong(
                f"{directory / LINES}, line {number + 1}",
                line,
                f"the id {number}, since ids must count up from 0",
            )
    try:
        for name in IMAGES:
            refuse_link(directory / name)
            (directory / name).mkdir(exist_ok=True)
            remove_unfinished(directory / name)
        if rest:
            with (directory / LINES).open("r+b") as file:
                file.truncate(file.seek(-len(rest), 2))
    except OSError as error:
        raise unusable(directory, f"cannot be written: {error}") from error
    return done


def _is_empty(path: Path) -> bool:
    """Whether this is what a call leaves behind if it fails before its first pair."""
    if path.is_dir():
        return path.name in IMAGES and not any(path.iterdir())
    return path.name in (LINES, lock_of(path.with_name(LINES)).name) and not path.stat().st_size


def _holds(path: Path, image: Image.Image) -> bool:
    """Whether a file in the directory, not a link, has exactly these pixels."""
    try:
        return not path.is_symlink() and torch.equal(read_pixels(path), to_pixels(image))
    except Exception:  # whatever Pillow raises for a file that is damaged
        return False


def _write_image(path: Path, image: Image.Image, format: str) -> None:
    """Does not sync the file, the slowest part by far: after a power failure, `_holds` finds what is missing."""
    content = BytesIO()
    image.save(content, format)
    write_file(path, content.getvalue(), sync=False)


def _rows(batches: Iterable[PairBatch]) -> Iterator[tuple[PairBatch, int]]:
    for pairs in batches:
        if not isinstance(pairs, PairBatch):
            raise wrong("batches", pairs, "batches of type PairBatch, as PreferencePairs makes them")
        pairs = pairs.select()
        yield from ((pairs, row) for row in range(len(pairs)))
