"""Rows are the grid that was asked for, and a step that cannot run says why."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import rows
from benchmarks.gpu.rows import GPU, SMOKE, measure, rows_of

CPU = torch.device("cpu")


def test_a_gpu_is_asked_for_every_model_batch_and_way() -> None:
    found = list(rows_of(GPU, None))
    assert len({(row.kind, row.name) for row in found}) == len(found)
    assert {row.model.size for row in found} == {224, 518, 384}
    assert {row.batch for row in found} == {1, 32, 256}
    assert {row.way for row in found} == {"eager", "compiled", "graphs", "captured"}
    assert {row.kind for row in found} == {"inference", "training", "mixing", "mixing step"}
    assert not any("published" in row.arms for row in found)
    assert any("published" in row.arms for row in rows_of(GPU, Path("ToMe")))


def test_a_row_gives_a_record_for_each_arm() -> None:
    row = next(row for row in rows_of(SMOKE, None) if row.kind == "inference")
    records = list(measure(row, CPU, None, rounds=2, seconds=0.0))
    assert [record["arm"] for record in records] == list(row.arms)
    for record in records:
        assert record["seconds"] > 0 and record["images_per_second"] == row.batch / record["seconds"]
        assert record["ratio"][1] <= record["ratio"][0] <= record["ratio"][2] and record["peak_bytes"] is None
    assert records[0]["ratio"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_step_that_cannot_run_says_why_and_the_others_run(broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in rows_of(SMOKE, None) if row.kind == "mixing")
    make = rows.mix

    def failing(name: str, *args: object, **options: object) -> object:
        if name == row.arms[broken]:
            raise torch.OutOfMemoryError("out of memory\nand much more")
        return make(name, *args, **options)

    monkeypatch.setattr(rows, "mix", failing)
    records = list(measure(row, CPU, None, rounds=1, seconds=0.0))
    assert records[broken]["error"] == "out of memory"
    assert (records[1 - broken]["ratio"] is None) is (broken == 0)
