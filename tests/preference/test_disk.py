"""Pairs that were written to disk are read back unchanged."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.pairs import PreferencePairs

from ..mix.batches import noise
from .test_pairs import NAMES, mixer
from .written import files, lines, made, rows


@pytest.mark.parametrize(("name", "channels"), [*((name, 3) for name in NAMES), ("mixup", 1), ("cutmix", 1)])
@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_uint8_pairs_round_trip_exactly(tmp_path: Path, name: str, suffix: str, channels: int) -> None:
    pairs = PreferencePairs(mixer(name, mode="elem", generator=torch.Generator().manual_seed(0)))
    batch = pairs(noise(5, channels, 64, 48, dtype=torch.uint8), torch.tensor([1, 2, 3, 4, 1]))
    assert write_pairs([batch], tmp_path, format=suffix) == 2
    folder = PairFolder(tmp_path)
    assert len(folder) == 2
    for item, row in zip(folder, (1, 3), strict=True):
        assert torch.equal(item["winner"], batch.winner[row]) and torch.equal(item["loser"], batch.loser[row])
        assert (item["label"], item["partner"]) == (row + 1, 5 - row)
        assert item["ratio"] == batch.ratio[row] and item["mass"] == batch.mass[row]
        assert item["ratio"].dtype == item["mass"].dtype == torch.float32
    assert not torch.equal(folder[0]["winner"], folder[0]["loser"])
    assert [line["kind"] for line in folder.lines] == [name] * 2
    assert torch.equal(folder[-1]["loser"], folder[1]["loser"])


def test_each_pair_has_one_line_of_json(tmp_path: Path) -> None:
    classes = [f"Käfer {i}\u2028" for i in range(10)]
    assert write_pairs(made(), tmp_path, classes=classes) == 12
    wanted = [
        {
            "id": i,
            "winner": f"winner/{i:08d}.png",
            "loser": f"loser/{i:08d}.png",
            "label": int(pairs.label[row]),
            "partner": int(pairs.label[4 - row]),
            "ratio": pairs.ratio[row].item(),
            "mass": pairs.ratio[row].item(),
            "kind": "mixup",
            "label_name": classes[int(pairs.label[row])],
            "partner_name": classes[int(pairs.label[4 - row])],
        }
        for i, (pairs, row) in enumerate(rows(made()))
    ]
    text = (tmp_path / "pairs.jsonl").read_bytes()
    assert [json.loads(line) for line in text.split(b"\n")[:-1]] == wanted and text.endswith(b"\n")
    assert list(json.loads(text.split(b"\n")[0])) == list(wanted[0])
    assert PairFolder(tmp_path).lines == wanted
    assert sorted(files(tmp_path)) == sorted(
        ["pairs.jsonl", *(line["winner"] for line in wanted), *(line["loser"] for line in wanted)]
    )
    with Image.open(tmp_path / "loser/00000003.png") as image:
        pairs, row = next(itertools.islice(rows(made()), 3, None))
        assert np.array_equal(np.array(image), pairs.loser[row].permute(1, 2, 0).numpy())


def test_without_classes_lines_have_no_class_names(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    assert "label_name" not in lines(tmp_path)[0] and "partner_name" not in lines(tmp_path)[0]


def test_rows_that_are_not_pairs_are_skipped(tmp_path: Path) -> None:
    batches = list(made(4, prob=0.5))
    assert "none" in batches[0].kind + batches[1].kind
    wanted = list(rows(batches))
    assert 0 < len(wanted) < 16
    assert write_pairs(batches, tmp_path) == len(wanted)
    for item, (pairs, row) in zip(PairFolder(tmp_path), wanted, strict=True):
        assert torch.equal(item["loser"], pairs.loser[row]) and item["label"] == pairs.label[row]


def test_pairs_can_be_written_from_a_loader_and_read_by_a_loader(tmp_path: Path) -> None:
    def write(directory: Path, workers: int, seed: int) -> dict[str, bytes]:
        torch.manual_seed(seed)
        dataset = TensorDataset(noise(12, 3, 8, 8, dtype=torch.uint8), torch.arange(12) % 10)
        collate = PreferencePairs(Mixup(num_classes=10)).collate
        loader = DataLoader(dataset, 4, shuffle=True, num_workers=workers, collate_fn=collate)
        assert write_pairs(loader, directory) == 12
        return files(directory)

    first = write(tmp_path / "a", 2, 1)
    assert first == write(tmp_path / "b", 2, 1)
    assert first != write(tmp_path / "c", 2, 2)
    for workers in (0, 2):
        batches = list(DataLoader(PairFolder(tmp_path / "a"), 5, num_workers=workers))
        assert [len(batch["label"]) for batch in batches] == [5, 5, 2]
        assert batches[0]["winner"].shape == batches[0]["loser"].shape == (5, 3, 8, 8)
        assert batches[0]["label"].dtype == batches[0]["partner"].dtype == torch.int64
        assert batches[0]["ratio"].shape == (5,) and batches[0]["mass"].dtype == torch.float32
        assert torch.cat([b["label"] for b in batches]).tolist() == [line["label"] for line in lines(tmp_path / "a")]


def test_a_transform_is_applied_to_both_images(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    seen: list[Tensor] = []

    def transform(image: Tensor) -> float:
        seen.append(image)
        return image.float().mean().item()

    item, plain = PairFolder(tmp_path, transform)[2], PairFolder(tmp_path)[2]
    assert torch.equal(seen[0], plain["winner"]) and torch.equal(seen[1], plain["loser"]) and len(seen) == 2
    assert (item["winner"], item["loser"]) == tuple(plain[name].float().mean() for name in ("winner", "loser"))
    assert plain["winner"].is_contiguous() and plain["winner"].dtype == torch.uint8


def test_a_filtered_file_can_be_read_but_not_extended(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    kept = [line | {"note": "faint"} for line in lines(tmp_path)[1::2]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\r\n" for line in kept))
    folder = PairFolder(tmp_path)
    _, second, _, fourth = rows(made(1))
    assert [item["label"] for item in folder] == [int(pairs.label[row]) for pairs, row in (second, fourth)]
    assert torch.equal(folder[1]["loser"], fourth[0].loser[fourth[1]])
    with pytest.raises(MergeMixError, match=r"pairs.jsonl, line 1: got .*, wanted the id 0"):
        write_pairs(made(1), tmp_path)
