"""The cost of steps is measured side by side, and a step is a complete training step of its arm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.vqa import cost
from benchmarks.vqa.arms import ARMS
from benchmarks.vqa.cost import make_step, measure_costs
from timm_mergemix.training.vqa.arms import Arm, VqaSettings
from timm_mergemix.training.vqa.batches import QuestionBatches
from timm_mergemix.training.vqa.model import small_llava
from timm_mergemix.tune.timing import Step

from ...training.vqa.made import PLACES, SIZE, data

pytest.importorskip("transformers", minversion="5.18")

DATA, SETTINGS = data(), VqaSettings(batch_size=8)


def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the model of the next step."""
    torch.manual_seed(0)
    model: Any = small_llava(SIZE, len(DATA.words), width=32, text_width=32)
    monkeypatch.setattr(cost, "small_llava", lambda size, words: model)
    return model


@pytest.mark.parametrize("arm", ARMS.values(), ids=lambda arm: arm.name)
def test_a_step_trains_on_the_winners_and_on_their_losers(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(monkeypatch)
    step = make_step(arm, DATA, SETTINGS)
    shapes: list[tuple[int, ...]] = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    step()
    rows, lengths = zip(*shapes, strict=True)
    assert sum(rows) == 8 if arm.kind is None else 12 <= sum(rows) <= 16
    assert max(map(len, DATA.train.prompts)) - PLACES + round(arm.keep * PLACES) == max(lengths)
    still = [name for name, weight in model.state_dict().items() if torch.equal(weight, before[name])]
    # Unused parameters: the last layer of the vision model and everything after it.
    assert all(".vision_tower." in name and ("layers.2." in name or "post_layernorm" in name) for name in still)
    assert model.training
    passes = len(shapes)
    step()
    assert len(shapes) == 2 * passes


def test_a_step_has_questions_about_as_many_drawings_as_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(QuestionBatches):
        def __call__(self, numbers: Any) -> dict[str, Any]:
            batch = super().__call__(numbers)
            drawings.update(batch["image_id"].tolist())
            return batch

    # Four questions about each of 40 drawings, in the order of the drawings as in easy-VQA. 32 random
    # questions are about some 24 drawings; with fewer drawings, there are fewer losers and a step is too cheap.
    drawings: set[int] = set()
    many = data(train=40)
    train = Seen(many.train.questions, many.words, PLACES, many.statistics)
    small(monkeypatch)
    make_step(ARMS["cutmix"], replace(many, train=train), VqaSettings(batch_size=32))()
    assert len(drawings) >= 16


def test_costs_are_relative_to_the_control(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def interleave(steps: dict[str, Step], rounds: int, device: torch.device, seconds: float, warmup: int) -> Any:
        asked.append((list(steps), device.type, seconds))
        return {name: [2.0 + number] * 5 for number, name in enumerate(steps)}

    monkeypatch.setattr(cost, "interleave", interleave)
    monkeypatch.setattr(cost, "make_step", lambda arm, *_: arm)
    found = measure_costs(DATA, SETTINGS, seconds=7.0)
    assert asked == [(list(ARMS), "cpu", 7.0)]
    assert list(found) == list(ARMS)
    assert found["sft"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert [each["value"] for each in found.values()] == [1 + number / 2 for number in range(8)]
