from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.speed import rows
from benchmarks.speed.rows import (
    Pass,
    all_rows,
    describe,
    mixing,
    other_encoder_step,
    over_ideal,
    unmerged_step,
    whole_step,
)
from benchmarks.speed.steps import Setting

CPU = torch.device("cpu")
SMALL = Setting("test_vit", 2, 3, size=64)


def test_names_are_told_apart() -> None:
    names = [row.name for row in all_rows(CPU)]
    assert len(set(names)) == len(names) == 21
    assert sum("saliency pass r=keep:0.5 at 0.5 of the size" in name for name in names) == 4
    again = [row.name for row in all_rows(CPU, 16)]
    assert len(set(again)) == len(again)
    assert describe(SMALL._replace(autocast=True)) == "test_vit, batch 2, r=3, 64 px, bf16 autocast"


@pytest.mark.parametrize(
    "row",
    [
        over_ideal("inference", SMALL, 1.1),
        over_ideal("inference", SMALL._replace(autocast=True), None),
        over_ideal("training", SMALL, None),
        whole_step(SMALL, Pass(("decreasing", 2)), None),
        unmerged_step(SMALL, Pass(("keep", 0.5), 0.5), None),
        mixing(CPU, "elem", None),
    ],
    ids=lambda row: row.name,
)
def test_steps_run_and_have_the_names_that_are_compared(row: rows.Row) -> None:
    steps = row.make()
    for step in steps.values():
        step()
    for comparison in row.comparisons:
        assert {comparison.above, comparison.below} <= set(steps)


def test_training_leaves_gradients_and_merges() -> None:
    from benchmarks.speed.steps import make_models, train

    models = make_models(SMALL, training=True)
    assert set(models) == {"merged", "ideal", "unpatched"}
    for model in models.values():
        train(SMALL, model)()
        assert all(parameter.grad is not None for parameter in model.parameters())
    weights = [next(model.parameters()) for model in models.values()]
    assert all(torch.equal(weights[0], weight) for weight in weights)


def test_another_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    create = rows.timm.create_model
    monkeypatch.setattr(rows.timm, "create_model", lambda name, **options: create("test_vit", **options))
    for step in other_encoder_step(SMALL, Pass(3), None).make().values():
        step()


def test_a_reference_is_measured_beside(tmp_path: Path) -> None:
    row = over_ideal("inference", SMALL._replace(reference=tmp_path), None)
    assert row.comparisons[-1][:2] == ("published", "ideal")
