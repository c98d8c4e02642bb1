"""The short table has the recipes at equal epochs, and leaves out what was not run."""

from __future__ import annotations

from typing import Any

from benchmarks.study.summary import summary

from . import test_results


def record(*args: Any, task: str = "fashion", **options: Any) -> dict[str, Any]:
    made = test_results.record(*args, **options)
    made["trial"]["task"] = task
    return made


def test_methods_by_task_at_equal_epochs() -> None:
    recipe = [("prob", 0.5), ("ratio_mode", "attention")]
    records = [
        record("none", 0, 0.7, test=True),
        record("mergemix-mixup", 0, 0.8, test=True),
        record("mergemix-mixup", 0, 0.1, test=True, options=[("epochs", 3)]),
        record("mergemix-mixup", 0, 0.6, task="dinov2", test=True),
        record("mergemix-mixup", 0, 0.9, task="dinov2", test=True, options=recipe),
        record("mixup", 0, 0.5),
    ]
    assert summary(records, "top-1").splitlines() == [
        "| top-1, % | Fashion-MNIST, 500 images | DINOv2 fine-tuned, 1,000 images |",
        "| --- | ---: | ---: |",
        "| no mixing | 70.0 |  |",
        "| MergeMix with Mixup | 80.0 | 90.0 |",
    ]
