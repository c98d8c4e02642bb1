from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.preference.disk import PairFolder, write_pairs
from timm_mergemix.preference.pairs import PairBatch, PreferencePairs

from ..mix.batches import noise, quick
from .test_pairs import NAMES, mixer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def made(count: int = 3, seed: int = 0, size: int = 8, **options: object) -> Iterator[PairBatch]:
    """Batches of five, whose middle row is never a pair; the same ones each time."""
    generator = torch.Generator().manual_seed(seed)
    pairs = PreferencePairs(Mixup(num_classes=10, mode="elem", generator=generator, **options))
    for i in range(count):
        yield pairs(noise(5, 3, size, size, seed=seed + i, dtype=torch.uint8), torch.arange(5) + i)


def files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


def rows(batches: Iterable[PairBatch]) -> Iterator[tuple[PairBatch, int]]:
    """The pairs, found without `PairBatch.select`."""
    for pairs in batches:
        for row in range(len(pairs)):
            if pairs.label[row] != pairs.partner_label[row] and pairs.ratio[row] < 1:
                yield pairs, row


@pytest.mark.parametrize(("name", "channels"), [*((name, 3) for name in NAMES), ("mixup", 1), ("cutmix", 1)])
@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_uint8_comes_back_exactly(tmp_path: Path, name: str, suffix: str, channels: int) -> None:
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


@quick
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, 3]),
)
def test_floats_come_back_within_half_a_grey_level(seed: int, normal: bool, dtype: torch.dtype, channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, channels, 5, 6, generator=generator).to(dtype)
    images.view(-1)[:2] = torch.tensor([0.0, 1.0])
    mean, std = torch.tensor(MEAN[:channels]).view(-1, 1, 1), torch.tensor(STD[:channels]).view(-1, 1, 1)
    pairs = PreferencePairs(Mixup(num_classes=10, generator=generator))(
        (images - mean) / std if normal else images, torch.arange(4)
    )
    statistics = {"mean": MEAN[:channels], "std": torch.tensor(STD[:channels])} if normal else {}
    loser = pairs.loser * std + mean if normal else pairs.loser
    with TemporaryDirectory() as directory:
        write_pairs([pairs], directory, **statistics)
        for row, item in enumerate(PairFolder(directory)):
            assert (item["winner"] / 255 - images[row]).abs().max() <= 0.5 / 255 + 1e-5
            assert (item["loser"] / 255 - loser[row]).abs().max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    grey = torch.arange(256.0).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    images = ((grey / 255 - 0.5) / 0.5).to(dtype)
    batch = PreferencePairs(Mixup(num_classes=10))(images, torch.arange(2))
    write_pairs([batch], tmp_path, mean=0.5, std=0.5)
    assert (PairFolder(tmp_path)[0]["winner"].float() - grey[0]).abs().max() <= (0 if dtype == torch.float16 else 1)


def test_up_to_a_grey_level_outside_is_rounding(tmp_path: Path) -> None:
    images = torch.tensor([-0.9, 255.9]).view(2, 1, 1, 1).expand(2, 3, 4, 4) / 255
    write_pairs([batch_of(images)], tmp_path)
    assert [item["winner"].unique().tolist() for item in PairFolder(tmp_path)] == [[0], [255]]


def test_the_lines(tmp_path: Path) -> None:
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


def test_without_classes_there_are_no_names(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    assert "label_name" not in lines(tmp_path)[0] and "partner_name" not in lines(tmp_path)[0]


def test_rows_that_are_no_pairs_are_left_out(tmp_path: Path) -> None:
    batches = list(made(4, prob=0.5))
    assert "none" in batches[0].kind + batches[1].kind
    wanted = list(rows(batches))
    assert 0 < len(wanted) < 16
    assert write_pairs(batches, tmp_path) == len(wanted)
    for item, (pairs, row) in zip(PairFolder(tmp_path), wanted, strict=True):
        assert torch.equal(item["loser"], pairs.loser[row]) and item["label"] == pairs.label[row]


def test_a_loader_writes_and_a_loader_reads(tmp_path: Path) -> None:
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


def test_transform(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    seen: list[Tensor] = []

    def transform(image: Tensor) -> float:
        seen.append(image)
        return image.float().mean().item()

    item, plain = PairFolder(tmp_path, transform)[2], PairFolder(tmp_path)[2]
    assert torch.equal(seen[0], plain["winner"]) and torch.equal(seen[1], plain["loser"]) and len(seen) == 2
    assert (item["winner"], item["loser"]) == tuple(plain[name].float().mean() for name in ("winner", "loser"))
    assert plain["winner"].is_contiguous() and plain["winner"].dtype == torch.uint8


class KilledError(Exception):
    pass


def killed(batches: Iterable[PairBatch], after: int) -> Iterator[PairBatch]:
    for i, pairs in enumerate(batches):
        if i == after:
            raise KilledError
        yield pairs


def pull_the_plug(directory: Path, cut: str) -> None:
    """Leaves a directory as a program does that ends at the worst moment."""
    path = directory / "pairs.jsonl"
    if cut == "an image without its line":
        (directory / "winner" / "00000008.png").write_bytes(b"half an image")
    elif cut == "half a line":
        path.write_bytes(path.read_bytes()[:-20])
    elif cut == "a line without its end":
        path.write_bytes(path.read_bytes()[:-1])
    elif cut == "the first half line":
        path.write_bytes(path.read_bytes()[:20])
    elif cut == "no line":
        path.unlink()


@pytest.mark.parametrize(
    "cut",
    [
        "nothing",
        "an image without its line",
        "half a line",
        "a line without its end",
        "the first half line",
        "no line",
    ],
)
def test_an_interrupted_run_goes_on(tmp_path: Path, cut: str) -> None:
    write_pairs(made(4), tmp_path / "whole")
    with pytest.raises(KilledError):
        write_pairs(killed(made(4), 2), tmp_path / "cut")
    assert len(lines(tmp_path / "cut")) == 8
    before = files(tmp_path / "cut")
    pull_the_plug(tmp_path / "cut", cut)
    assert (files(tmp_path / "cut") == before) == (cut == "nothing")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "winner").iterdir()}
    assert write_pairs(made(4), tmp_path / "cut") == 16
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    if cut == "nothing":
        assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())


@functools.cache
def whole_run() -> dict[str, bytes]:
    with TemporaryDirectory() as directory:
        write_pairs(made(4), directory, format="bmp")
        return files(Path(directory))


@settings(quick, max_examples=25)
@given(st.integers(0, 15), st.integers(0, 400), st.integers(0, 4))
def test_wherever_it_is_interrupted(line: int, byte: int, batch: int) -> None:
    """The lines are cut anywhere, and the second run is killed as well."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for folder in ("winner", "loser"):
            (directory / folder).mkdir()
        for path, content in whole_run().items():
            (directory / path).write_bytes(content)
        text = whole_run()["pairs.jsonl"].splitlines(keepends=True)
        (directory / "pairs.jsonl").write_bytes(b"".join(text[:line]) + text[line][:byte])
        there = line + (byte >= len(text[line]))
        if batch < 4:
            with pytest.raises(KilledError):
                write_pairs(killed(made(4), batch), directory, format="bmp")
            assert len(lines(directory)) == max(there, 4 * batch)
        assert write_pairs(made(4), directory, format="bmp") == 16
        assert files(directory) == whole_run()


def test_a_line_comes_after_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save
    saved = []

    def watch(image: Image.Image, path: Path, *rest: object) -> None:
        saved.append((path.parent.name, len(lines(tmp_path)) if (tmp_path / "pairs.jsonl").exists() else 0))
        if len(saved) == 6:
            raise OSError("no space left on device")
        save(image, path, *rest)

    monkeypatch.setattr(Image.Image, "save", watch)
    with pytest.raises(OSError, match="no space left"):
        write_pairs(made(2), tmp_path)
    assert saved == [("winner", 0), ("loser", 0), ("winner", 1), ("loser", 1), ("winner", 2), ("loser", 2)]
    assert len(PairFolder(tmp_path)) == 2


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    write_pairs(made(), tmp_path)
    before = files(tmp_path)
    assert write_pairs(made(), tmp_path) == 12
    assert files(tmp_path) == before
    assert write_pairs(made(4), tmp_path) == 16  # more of the same
    after = files(tmp_path)
    assert after.pop("pairs.jsonl").startswith(before.pop("pairs.jsonl")) and after.items() > before.items()


@pytest.mark.parametrize(
    ("differ", "batches", "options"),
    [
        ("mass, ratio", lambda: made(4, seed=1), {}),
        ("label, mass, partner, ratio", lambda: itertools.islice(made(4), 1, None), {}),
        ("loser, winner", lambda: made(4), {"format": "bmp"}),
        ("label_name, partner_name", lambda: made(4), {"classes": "abcdefghij"}),
    ],
)
def test_going_on_with_something_else_is_refused(
    tmp_path: Path, differ: str, batches: Callable[[], Iterable[PairBatch]], options: dict[str, object]
) -> None:
    write_pairs(made(2), tmp_path)
    before = files(tmp_path)
    with pytest.raises(
        MergeMixError, match=rf"^batches: got another pair than .*pairs.jsonl, line \d+ \(by {differ}\)"
    ):
        write_pairs(batches(), tmp_path, **options)
    with pytest.raises(MergeMixError, match=r"^batches: got 4 pairs, wanted at least the 8 of"):
        write_pairs(made(1), tmp_path)
    assert files(tmp_path) == before


def test_the_ratio_of_another_machine_is_no_other_pair(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    path = tmp_path / "pairs.jsonl"
    first = lines(tmp_path)[0]
    path.write_text("".join(json.dumps(line) + "\n" for line in [first | {"ratio": first["ratio"] + 1e-5}]))
    assert write_pairs(made(1), tmp_path) == 4


def test_resume_false_wants_an_empty_directory(tmp_path: Path) -> None:
    assert write_pairs(made(1), tmp_path / "new" / "deep", resume=False) == 4
    (tmp_path / "empty").mkdir()
    assert write_pairs(made(1), tmp_path / "empty", resume=False) == 4
    before = files(tmp_path)

    def never() -> Iterator[PairBatch]:
        raise AssertionError("asked for a batch")
        yield

    with pytest.raises(MergeMixError, match=r"^directory: got '.*empty', wanted one that is new or empty"):
        write_pairs(never(), tmp_path / "empty", resume=False)
    failed = tmp_path / "failed"
    with pytest.raises(MergeMixError, match=r"^classes: "):
        write_pairs(made(1), failed, classes=["one"], resume=False)
    assert write_pairs(made(1), failed, resume=False) == 4
    before = files(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(MergeMixError, match=r"^directory: got"):
        write_pairs(never(), tmp_path / "other", resume=False)
    with pytest.raises(MergeMixError, match=r"^directory: got '.*notes.txt', wanted a directory"):
        write_pairs(never(), tmp_path / "other" / "notes.txt")
    assert files(tmp_path) == before | {"other/notes.txt": b""}


def test_lines_that_were_filtered_are_read_but_not_added_to(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    kept = [line | {"note": "faint"} for line in lines(tmp_path)[1::2]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\r\n" for line in kept))
    folder = PairFolder(tmp_path)
    _, second, _, fourth = rows(made(1))
    assert [item["label"] for item in folder] == [int(pairs.label[row]) for pairs, row in (second, fourth)]
    assert torch.equal(folder[1]["loser"], fourth[0].loser[fourth[1]])
    with pytest.raises(MergeMixError, match=r"pairs.jsonl, line 1: got .*, wanted the id 0"):
        write_pairs(made(1), tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "no json",
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
def test_broken_lines_are_named(tmp_path: Path, broken: str, number: int) -> None:
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


def test_a_line_that_is_cut_off_is_named(tmp_path: Path) -> None:
    write_pairs(made(1), tmp_path)
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MergeMixError, match=rf"^{path}, line 4: got a line that is cut off.*resume=True"):
        PairFolder(tmp_path)


def test_empty_directories_are_named(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(MergeMixError, match=rf"^directory: got no pairs in {directory}/pairs.jsonl"):
            PairFolder(directory)
    assert write_pairs([], tmp_path) == 0
    with pytest.raises(MergeMixError, match=r"^directory: got no pairs in"):
        PairFolder(tmp_path)


@pytest.mark.parametrize("name", ["winner", "loser"])
@pytest.mark.parametrize("damage", ["missing", "no image", "cut off"])
def test_images_that_cannot_be_read_are_named(tmp_path: Path, name: str, damage: str) -> None:
    write_pairs(made(1, size=64), tmp_path)
    path = tmp_path / name / "00000002.png"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"no image" if damage == "no image" else path.read_bytes()[:5000])
    folder = PairFolder(tmp_path)
    assert folder[1]["label"] == 1
    for index in (2, -2):
        where = rf"^{tmp_path}/pairs.jsonl, line 3: got {name}/00000002.png, which cannot be read"
        with pytest.raises(MergeMixError, match=where):
            folder[index]
    with pytest.raises(IndexError):
        folder[4]


def batch_of(images: Tensor) -> PairBatch:
    return PreferencePairs(Mixup(num_classes=10))(images, torch.arange(len(images)))


BAD = [
    ("mean, std: got None that leave pixels of the winner from -", noise(2, 3, 8, 8), {}),
    ("mean, std: got None that leave pixels of the winner from -0.5 to 0", torch.full((2, 3, 8, 8), -0.5).triu(), {}),
    ("mean, std: got None that leave pixels of the winner from 0 to 3", torch.full((2, 3, 8, 8), 3.0).triu(), {}),
    ("mean, std: got such that leave pixels", noise(2, 3, 8, 8) * 9, {"mean": MEAN, "std": STD}),
    (r"mean, std: got \(\(0.485", torch.rand(2, 3, 8, 8), {"mean": MEAN}),
    (r"mean, std: got \(None", torch.rand(2, 3, 8, 8), {"std": STD}),
    (r"mean, std: got \(\(0.5, 0.5", torch.rand(2, 3, 8, 8), {"mean": (0.5, 0.5), "std": 1.0}),
    (r"mean, std: got \(0.0, 0.0\)", torch.rand(2, 3, 8, 8), {"mean": 0.0, "std": 0.0}),
    (r"mean, std: got \('a'", torch.rand(2, 3, 8, 8), {"mean": "a", "std": 1.0}),
    (r"mean, std: got \(nan", torch.rand(2, 3, 8, 8), {"mean": float("nan"), "std": 1.0}),
    ("mean, std: got 3 numbers, wanted one", torch.rand(2, 1, 8, 8), {"mean": MEAN, "std": STD}),
    ("winner: got a float32 tensor", torch.rand(2, 4, 8, 8), {}),
    ("winner: got a uint8 tensor", noise(2, 2, 8, 8, dtype=torch.uint8), {}),
    ("format: got 'jpeg', wanted one of 'png', 'bmp'", torch.rand(2, 3, 8, 8), {"format": "jpeg"}),
    ("classes: got .*, wanted a name for class 1", torch.rand(2, 3, 8, 8), {"classes": ["only"]}),
]


@pytest.mark.parametrize(("message", "images", "options"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_written_is_named(
    tmp_path: Path, message: str, images: Tensor, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    with pytest.raises(MergeMixError, match=rf"^{message}"):
        write_pairs([batch_of(images)], tmp_path / "new", **options)
    assert not any(name.startswith(("winner", "loser")) for name in files(tmp_path))


@pytest.mark.parametrize("batches", [None, 3, batch_of(torch.rand(2, 3, 8, 8)), [None], [torch.rand(2, 3, 8, 8)]])
def test_what_is_no_batch_is_named(tmp_path: Path, batches: object) -> None:
    with pytest.raises(MergeMixError, match=r"^batches: got .*, wanted (an iterable of )?PairBatch"):
        write_pairs(batches, tmp_path / "new")
