"""Pairs on disk, for other trainers: images, and a line of JSON for each pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import Words, check_choice, unusable, wrong
from .pairs import PairBatch
from .pixels import statistics_of, to_pil

__all__ = ["FORMATS", "PairFolder", "write_pairs"]

FORMATS = ("png", "bmp")
LINES = "pairs.jsonl"
Line = dict[str, Any]


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
    """Writes winners, losers and the score between them; `PairFolder` reads them back.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479). The directory gets ``winner/00000000.png``, ``loser/00000000.png``, ..., and ``pairs.jsonl``
    with a line for each pair::

        {"id": 0, "winner": "winner/00000000.png", "loser": "loser/00000000.png", "label": 3, "partner": 5,
         "ratio": 0.25, "mass": 0.25, "kind": "mergemix"}

    ``label`` and ``partner`` are the classes of the winner and of what was mixed in; ratio and mass are those of
    `PairBatch`. Rows that are no pairs are left out.

    A line is written after its images, so whatever ends the program, each whole line is a whole pair. Call it again
    with the same arguments, and ``batches`` from the start, and it goes on: a line that was cut off is dropped, and as
    many pairs as are there already are taken from ``batches`` and skipped. The result is that of one run where
    ``batches`` are the same again (the same order and seed). Where labels, partners or ratios are
    not, nothing is added, and it is an error; pixels are not compared.

    Args:
        batches: For example a ``DataLoader`` whose ``collate_fn`` is `PreferencePairs.collate`. Images have 1 or 3
            channels. uint8 is written as it is, float is rounded to 8 bit.
        directory: Where to; it is made.
        mean: Mean by which float images were normalised, one number or one per channel; None where they are in [0, 1].
        std: Standard deviation, likewise.
        classes: Names of the classes, also written, as ``label_name`` and ``partner_name``.
        format: ``"png"``, or ``"bmp"``, which is larger and faster; both keep each pixel as it is.
        resume: False wants a directory that is new or empty.

    Returns:
        Number of pairs that the directory has now.

    Raises:
        MergeMixError: If an argument or a batch does not fit; pixels that are outside [0, 1] by more than a grey level,
            denormalised if that is asked for, count as such.
    """
    check_choice("format", format, FORMATS)
    statistics = statistics_of(mean, std)
    if not isinstance(batches, Iterable):
        raise wrong("batches", batches, "an iterable of PairBatch")
    directory = Path(directory)
    done = _start(directory, resume)
    count = 0
    with (directory / LINES).open("ab") as file:
        for pairs, row in _rows(batches):
            line = _line(pairs, row, count, classes, format)
            if count < len(done):
                _check_same(directory, done[count], line)
            else:
                images = {name: to_pil(name, getattr(pairs, name)[row], statistics) for name in ("winner", "loser")}
                for name, image in images.items():
                    image.save(directory / line[name], format)
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                file.flush()
            count += 1
    if count < len(done):
        raise wrong("batches", Words(f"{count} pairs"), f"at least the {len(done)} of {directory / LINES}")
    return count


class PairFolder(Dataset[dict[str, Any]]):
    """Pairs from disk, as `write_pairs` wrote them; lines may have been taken out since, and keys added.

    An item is a dictionary with ``winner`` and ``loser``, (C, H, W) uint8 or what ``transform`` makes of it; ``label``
    and ``partner``, integers; ``ratio`` and ``mass``, float32 tensors of no dimension. A ``DataLoader`` batches
    them.

    Args:
        directory: What `write_pairs` was given.
        transform: (C, H, W) uint8 -> anything, called for the winner and then for the loser. It must not be random, or
            a pair differs by more than its mixing.

    Attributes:
        lines: All that ``pairs.jsonl`` says of each pair, also its ``kind`` and the names of the classes.

    Raises:
        MergeMixError: If there are no pairs, a line is broken, or, when it is taken, an image cannot be read.
    """

    def __init__(self, directory: str | Path, transform: Callable[[Tensor], Any] | None = None) -> None:
        self.directory = Path(directory)
        self.transform = transform
        self.lines, rest = _read(self.directory)
        if rest:
            where = f"{self.directory / LINES}, line {len(self.lines) + 1}"
            raise unusable(where, "got a line that is cut off; write_pairs(resume=True) goes on from there")
        if not self.lines:
            raise wrong("directory", Words(f"no pairs in {self.directory / LINES}"), "what write_pairs wrote")

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> dict[str, Any]:
        line = self.lines[index]
        images = {name: self._image(index, line[name]) for name in ("winner", "loser")}
        scores = {name: torch.tensor(line[name], dtype=torch.float32) for name in ("ratio", "mass")}
        return images | {"label": line["label"], "partner": line["partner"]} | scores

    def _image(self, index: int, name: str) -> Any:
        try:
            with Image.open(self.directory / name) as image:
                pixels = torch.from_numpy(np.array(image if image.mode == "L" else image.convert("RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            number = range(len(self.lines))[index] + 1
            where = f"{self.directory / LINES}, line {number}"
            raise unusable(where, f"got {name}, which cannot be read as an image: {error}") from error
        pixels = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
        return pixels if self.transform is None else self.transform(pixels)


def _start(directory: Path, resume: bool) -> list[Line]:
    """Makes the directory fit for a pair to be added, and returns the lines of those that are there."""
    if directory.exists() and not directory.is_dir():
        raise wrong("directory", str(directory), "a directory")
    if not resume and directory.is_dir() and not all(map(_is_empty, directory.iterdir())):
        raise wrong("directory", str(directory), "one that is new or empty, since resume is False")
    done, rest = _read(directory)
    for number, line in enumerate(done):
        if line["id"] != number:
            raise wrong(f"{directory / LINES}, line {number + 1}", line, f"the id {number}, to add to it")
    for name in ("winner", "loser"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    if rest:
        with (directory / LINES).open("r+b") as file:
            file.truncate(file.seek(-len(rest), 2))
    return done


def _is_empty(path: Path) -> bool:
    """Whether it is what a call leaves that could not write its first pair."""
    if path.is_dir():
        return path.name in ("winner", "loser") and not any(path.iterdir())
    return path.name == LINES and not path.stat().st_size


def _read(directory: Path) -> tuple[list[Line], bytes]:
    """The lines of a directory, and what comes after the last newline."""
    path = directory / LINES
    *whole, rest = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    return [_parse(path, number, line) for number, line in enumerate(whole, 1)], rest


def _parse(path: Path, number: int, text: bytes) -> Line:
    try:
        line: Line = json.loads(text)
        fits = (
            all(isinstance(line[name], str) for name in ("winner", "loser", "kind"))
            and all(type(line[name]) is int and line[name] >= 0 for name in ("id", "label", "partner"))
            and all(0 <= line[name] <= 1 for name in ("ratio", "mass"))
        )
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise wrong(f"{path}, line {number}", text.decode(errors="replace"), "a pair as write_pairs writes it")
    return line


def _rows(batches: Iterable[PairBatch]) -> Iterator[tuple[PairBatch, int]]:
    for pairs in batches:
        if not isinstance(pairs, PairBatch):
            raise wrong("batches", pairs, "PairBatch each, as PreferencePairs makes them")
        pairs = pairs.select()
        yield from ((pairs, row) for row in range(len(pairs)))


def _line(pairs: PairBatch, row: int, number: int, classes: Sequence[str] | None, suffix: str) -> Line:
    line: Line = {
        "id": number,
        "winner": f"winner/{number:08d}.{suffix}",
        "loser": f"loser/{number:08d}.{suffix}",
        "label": int(pairs.label[row]),
        "partner": int(pairs.partner_label[row]),
        "ratio": float(pairs.ratio[row]),
        "mass": float(pairs.mass[row]),
        "kind": pairs.kind[row],
    }
    if classes is None:
        return line
    if max(line["label"], line["partner"]) >= len(classes):
        raise wrong("classes", classes, f"a name for class {max(line['label'], line['partner'])} too")
    return line | {"label_name": str(classes[line["label"]]), "partner_name": str(classes[line["partner"]])}


def _check_same(directory: Path, there: Line, line: Line) -> None:
    """Raises unless the pair is the one that was written; ratios may differ by what another machine computes."""

    def same(a: Any, b: Any) -> bool:
        return a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-3)

    differ = sorted(name for name in there | line if not same(there.get(name), line.get(name)))
    if differ:
        where = f"{directory / LINES}, line {line['id'] + 1}"
        wanted = "the same batches from the start (order and seed) and the same arguments, to go on from there"
        raise wrong("batches", Words(f"another pair than {where} (by {', '.join(differ)})"), wanted)
