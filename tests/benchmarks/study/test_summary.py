"""The short table has the recipes at equal epochs, and leaves out what was not run."""

from __future__ import annotations

from typing import Any

from benchmarks.study.summary import recipe_table, summary
from timm_mergemix.mix.config import find_recipe

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


def test_the_recipe_is_compared_with_what_is_best_on_validation_images() -> None:
    options = [(name, value) for name, value in sorted(find_recipe("scratch").items()) if name != "cutmix_alpha"]

    def trials(
        method: str, test: float, val: float, given: list[tuple[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        made = [record(method, seed, test + 0.01 * seed, test=True, options=given or []) for seed in range(2)]
        return [{**each, "val": {"top1": val}} for each in made]

    records = [
        *trials("mergemix-mixup", 0.6, 0.5, options),
        *trials("none", 0.5, 0.1),
        *trials("cutmix", 0.4, 0.9),
        *trials("random-mixup", 0.55, 0.5),
    ]
    head, _, row = recipe_table(records).splitlines()
    assert head.count("|") == 7
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "Fashion-MNIST, 500 images",
        "60.5 ± 0.7",
        "CutMix",
        "+20.0 (+20.0 to +20.0)",
        "+5.0 (+5.0 to +5.0)",
        "",
    ]
