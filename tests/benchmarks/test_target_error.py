"""The error of a target is its distance from the part of the original's object that is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from benchmarks import target_error
from benchmarks.command import main
from benchmarks.records import Records
from benchmarks.study import tasks
from benchmarks.study.clipart import Placement
from benchmarks.study.drawn import FromClipart
from benchmarks.study.setup import Task
from benchmarks.target_error import WAYS, Objects, measure, table

from .study.drawn import write_subjects


def objects(size: int, place: int = 0) -> Objects:
    """Squares of two sizes, and maps that see them."""
    masks = torch.zeros(40, 32, 32)
    masks[:20, place : place + size, place : place + size] = 1
    masks[20:, place : place + 8, place : place + 8] = 1
    return Objects(masks, torch.nn.functional.adaptive_avg_pool2d(masks, 8) + 1e-3)


def test_objects_that_fill_the_image_leave_no_error_by_area() -> None:
    full = Objects(torch.ones(40, 32, 32), torch.rand(40, 8, 8))
    for way in ("CutMix", "random patches", "MergeMix", "Mixup"):
        assert measure(WAYS[way], full, 1)["error"] < 0.01, way
    assert measure(WAYS["MergeMix, ratio by attention"], full, 1)["error"] > 0.05


def test_mixup_is_never_wrong() -> None:
    assert measure(WAYS["Mixup"], objects(24, 4), 1)["error"] < 1e-4


def test_small_objects_make_the_area_wrong_and_a_map_that_sees_them_right() -> None:
    known = objects(12, 4)
    area, attention = (measure(WAYS[way], known, 2) for way in ("MergeMix", "MergeMix, ratio by attention"))
    assert area["error"] > 0.2 > 0.1 > attention["error"]
    assert area["original"] > area["partner"]


def test_the_truth_shows_most_and_its_opposite_least_of_the_original() -> None:
    known = objects(16, 8)
    shown = {way: measure(WAYS[way], known, 2)["original"] for way in WAYS}
    best, worst = "oracle: the object's patches", "oracle: the ground's patches"
    assert shown[best] > shown["random patches"] + 0.1 > shown[worst] + 0.2
    both = {way: sum(measure(WAYS[way], known, 2)[part] for part in ("original", "partner")) for way in WAYS}
    assert max(both, key=lambda way: both[way] * ("Mixup" not in way)) == "oracle: most of both objects"


def test_errors_are_told_by_the_size_of_the_object() -> None:
    found = measure(WAYS["CutMix"], objects(28), 4)
    assert found["limits"][0] == pytest.approx(8 * 8 / 32**2) and found["limits"][1] == pytest.approx(28 * 28 / 32**2)
    assert len(found["thirds"]) == 3 and found["thirds"][1] > 0


def test_measuring_again_gives_the_same() -> None:
    assert measure(WAYS["ResizeMix"], objects(16), 1)["error"] == measure(WAYS["ResizeMix"], objects(16), 1)["error"]


def test_the_program_measures_each_way_of_both_tasks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "weights.pth")
    for name, placement in zip(target_error.TASKS, (Placement(), Placement(0.35, True)), strict=True):
        task = Task(name, tasks.OVERFITTING, 3, FromClipart(64, placement, 10, 10, "test_vit"))
        monkeypatch.setitem(tasks.TASKS, name, task)
    monkeypatch.setattr(target_error, "ROUNDS", 1)
    folder = write_subjects(tmp_path / "drawings")
    arguments = ["--out", str(tmp_path), "--weights", str(tmp_path / "weights.pth"), "--data-dir", str(folder)]
    assert main(target_error, arguments) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 * (2 + len(WAYS))
    before = (tmp_path / "target_error.jsonl").read_bytes()
    monkeypatch.setattr(target_error, "known_objects", None)
    assert main(target_error, arguments) == 0
    assert (tmp_path / "target_error.jsonl").read_bytes() == before
    assert (tmp_path / "target_error.png").stat().st_size > 10_000


def test_the_tables_of_the_page_are_those_of_the_record() -> None:
    root = Path(target_error.__file__).parents[1]
    records = Records(root / "benchmarks/results/target_error.jsonl", ("task", "way"), ("error",)).read()
    page = (root / "docs/results.md").read_text()
    for task in target_error.TASKS:
        own = [record for record in records if record["task"] == task]
        assert [record["way"] for record in own] == list(WAYS) and table(own) in page


def test_the_picture_has_a_bar_and_three_dots_for_each_way() -> None:
    records = [{"task": "openclipart", "way": way, **measure(WAYS[way], objects(16), 1)} for way in ("CutMix", "Mixup")]
    (axis,) = target_error.draw(records).axes
    assert [bar.get_width() for bar in axis.patches] == [record["error"] for record in reversed(records)]
    assert [len(line.get_xdata()) for line in axis.lines] == [2, 2, 2]
    assert table(records).splitlines()[2].startswith("| CutMix | ")
