"""Models of one row have the same weights and can be trained; the published patch is added if available."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.speed.merging import over_ideal
from benchmarks.speed.steps import Setting, make_models, train

SMALL = Setting("test_vit", 2, 3, size=64)


def test_training_leaves_gradients_and_merges() -> None:
    models = make_models(SMALL, training=True)
    assert set(models) == {"merged", "ideal", "unpatched"}
    for model in models.values():
        train(SMALL, model)()
        assert all(parameter.grad is not None for parameter in model.parameters())
    weights = [next(model.parameters()) for model in models.values()]
    assert all(torch.equal(weights[0], weight) for weight in weights)


def test_a_reference_is_measured_as_well(tmp_path: Path) -> None:
    row = over_ideal("inference", SMALL._replace(reference=tmp_path), None)
    assert row.comparisons[-1][:2] == ("published", "ideal")
