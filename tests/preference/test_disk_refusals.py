"""Errors about pairs that cannot be written or read name the argument, or the file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.preference.disk import PairFolder, write_pairs

from .written import batch_of, made


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "not json",
        "[]",
        "3",
        "\udcff",
        *(
            json.dumps({"drop": name})
            for name in ("id", "winner", "loser", "label", "partner", "ratio", "mass", "kind")
        ),
        *(json.dumps({name: None}) for name in ("id", "winner", "loser", "label", "partner", "ratio", "mass", "kind")),
        '{"label": -1}',
        '{"label": true}',
        '{"partner": 1.0}',
        '{"ratio": 1.5}',
        '{"mass": NaN}',
    ],
)
@pytest.mark.parametrize("number", [1, 3])
def test_broken_lines_are_refused_by_number(tmp_path: Path, broken: str, number: int) -> None:
    write_pairs(made(1), tmp_path)
    path = tmp_path / "pairs.jsonl"
    text = path.read_bytes().split(b"\n")
    if broken.startswith("{"):
        change = json.loads(broken)
        line = json.loads(text[number - 1]) | change
        line.pop(line.pop("drop", None), None)
        broken = json.dumps(line)
    text[number - 1] = broken.encode(errors="surrogateescape")
    path.write_bytes(b"\n".join(text))
    for read in (PairFolder, lambda directory: write_pairs(made(1), directory)):
        with pytest.raises(MergeMixError, match=rf"^{path}, line {number}: got .*, wanted a pair as write_pairs"):
            read(tmp_path)
    assert path.read_bytes() == b"\n".join(text)


def test_a_truncated_line_is_refused_by_number(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MergeMixError, match=rf"^{path}, line 4: got a truncated line.*resume=True"):
        PairFolder(tmp_path)


def test_directories_without_pairs_are_refused(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(MergeMixError, match=rf"^directory: got no pairs in {directory}/pairs.jsonl"):
            PairFolder(directory)
    assert write_pairs([], tmp_path) == 0
    with pytest.raises(MergeMixError, match=r"^directory: got no pairs in"):
        PairFolder(tmp_path)


@pytest.mark.parametrize("name", ["winner", "loser"])
@pytest.mark.parametrize("damage", ["missing", "not an image", "truncated"])
def test_images_that_cannot_be_read_are_refused_by_name(tmp_path: Path, name: str, damage: str) -> None:
    write_pairs(made(1, size=64), tmp_path)
    path = tmp_path / name / "00000002.png"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"not an image" if damage == "not an image" else path.read_bytes()[:5000])
    folder = PairFolder(tmp_path)
    assert folder[1]["label"] == 1
    for index in (2, -2):
        where = rf"^{tmp_path}/pairs.jsonl, line 3: got {name}/00000002.png, which cannot be read"
        with pytest.raises(MergeMixError, match=where):
            folder[index]
    with pytest.raises(IndexError):
        folder[4]


@pytest.mark.parametrize("batches", [None, 3, batch_of(torch.rand(2, 3, 8, 8)), [None], [torch.rand(2, 3, 8, 8)]])
def test_batches_that_are_not_pair_batches_are_refused(tmp_path: Path, batches: object) -> None:
    with pytest.raises(MergeMixError, match=r"^batches: got .*, wanted (an iterable of|batches of type) PairBatch"):
        write_pairs(batches, tmp_path / "new")
