"""Training on questions can be resumed, is not repeated once finished, and starts the same for all arms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.files.lock import locked
from timm_mergemix.training.progress import Bar, Reporter
from timm_mergemix.training.vqa import run
from timm_mergemix.training.vqa.arms import ARMS, Arm, VqaSettings
from timm_mergemix.training.vqa.batches import QuestionBatches
from timm_mergemix.training.vqa.data import VqaData
from timm_mergemix.training.vqa.measure import predict_answers
from timm_mergemix.training.vqa.run import VqaOutcome, train_arm

from .made import PLACES, SIZE, data

pytest.importorskip("transformers", minversion="5.18")

SFT, MERGEMIX, HALF = ARMS
DATA = data()  # 16 questions: an epoch has 4 steps of 4
SETTINGS = VqaSettings(epochs=1, batch_size=4)
ONE_STEP = replace(SETTINGS, epochs=0.25)


class Counted(Reporter):
    """Counts steps, and interrupts the training in step ``stop``."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__(quiet=True)
        self.bars_made: list[tuple[str, int, int, str]] = []
        self.steps, self.stop = 0, stop

    def bar(self, title: str, total: int, done: int = 0, unit: str = "batch") -> Bar:
        self.bars_made.append((title, total, done, unit))
        return _CountedBar(self)


class _CountedBar(Bar):
    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    def step(self, **values: Any) -> None:
        self.counted.steps += 1
        if self.counted.steps == self.counted.stop:
            raise KeyboardInterrupt


def train(
    arm: Arm,
    out: Path,
    settings: VqaSettings = SETTINGS,
    reporter: Reporter | None = None,
    data: VqaData = DATA,
    fresh: bool = False,
) -> VqaOutcome:
    return train_arm(arm, data, settings, out, Counted() if reporter is None else reporter, fresh)


def lines(outcome: VqaOutcome) -> list[dict[str, float]]:
    """The history without times and without the summary line of a call."""
    kept = [line for line in outcome.history if "loss" in line]
    return [{name: value for name, value in line.items() if name != "seconds_per_step"} for line in kept]


def assert_same(first: VqaOutcome, second: VqaOutcome) -> None:
    weights = second.model.state_dict()
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert lines(first) == lines(second)


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("runs/*/*"))


# Interrupted in the middle of the first epoch, in the middle of the second one, and at the end of the first one.
@pytest.mark.parametrize(("arm", "epochs", "stop"), [(SFT, 1, 3), (MERGEMIX, 1.5, 6), (HALF, 1.5, 5)])
def test_a_resumed_training_equals_an_uninterrupted_one(arm: Arm, epochs: float, stop: int, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=epochs)
    whole = train(arm, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(arm, tmp_path / "parts", settings, Counted(stop))
    assert checkpoints(tmp_path / "parts") == [f"checkpoint-{stop - 1}"]
    rest = Counted()
    assert_same(train(arm, tmp_path / "parts", settings, rest), whole)
    assert rest.steps == whole.steps - (stop - 1)
    assert rest.bars_made == [(arm.title, whole.steps, stop - 1, "step")]
    assert [line["step"] for line in lines(whole)] == list(range(1, whole.steps + 1))


@pytest.mark.parametrize(("arm", "epochs"), [(SFT, 1), (MERGEMIX, 1.5), (HALF, 1.5)])
def test_a_finished_training_is_not_repeated(arm: Arm, epochs: float, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=epochs)
    first = train(arm, tmp_path, settings)
    for _ in range(2):
        again = Counted()
        second = train(arm, tmp_path, settings, again)
        assert again.steps == 0
        assert_same(first, second)
        assert second.seconds_per_step == first.seconds_per_step and second.steps == first.steps
    assert checkpoints(tmp_path) == [f"checkpoint-{first.steps}"]


def test_fresh_restarts_the_training(tmp_path: Path) -> None:
    first = train(MERGEMIX, tmp_path)
    again = Counted()
    second = train(MERGEMIX, tmp_path, reporter=again, fresh=True)
    assert again.steps == 4 and again.bars_made[0][2] == 0
    assert_same(first, second)
    with pytest.raises(KeyboardInterrupt):
        train(MERGEMIX, tmp_path, reporter=Counted(2), fresh=True)
    assert checkpoints(tmp_path) == ["checkpoint-1"]


def test_fresh_restarts_only_the_given_arm(tmp_path: Path) -> None:
    for arm in (SFT, MERGEMIX):
        train(arm, tmp_path, ONE_STEP)
    train(SFT, tmp_path, ONE_STEP, fresh=True)
    assert checkpoints(tmp_path) == ["checkpoint-1", "checkpoint-1"]


def test_other_settings_or_questions_start_another_training(tmp_path: Path) -> None:
    train(SFT, tmp_path, ONE_STEP)
    for other in (replace(ONE_STEP, lr=1e-3), replace(ONE_STEP, seed=1), replace(ONE_STEP, gamma=0.5)):
        counted = Counted()
        train(SFT, tmp_path, other, counted)
        assert counted.steps == 1
    counted = Counted()
    train(replace(SFT, kind="cutmix"), tmp_path, ONE_STEP, counted)
    train(SFT, tmp_path, ONE_STEP, counted, data=data(train=5))
    assert counted.steps == 2 and len(checkpoints(tmp_path)) == 6


def test_all_arms_start_from_the_same_weights(tmp_path: Path) -> None:
    still = replace(ONE_STEP, lr=0.0)
    found = [train(arm, tmp_path, still).model.state_dict() for arm in ARMS]
    torch.manual_seed(SETTINGS.seed)
    begun = run.small_llava(SIZE, len(DATA.words)).state_dict()
    for state in found:
        assert state.keys() == begun.keys()
        assert all(torch.equal(state[name], begun[name]) for name in begun)
    moved = train(SFT, tmp_path, replace(still, seed=1)).model.state_dict()
    assert not all(torch.equal(moved[name], begun[name]) for name in begun)


def test_all_arms_start_from_the_same_vision_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def prepare(model: Any, data: VqaData, path: Path, reporter: Reporter) -> None:
        kind = type(model)
        assert data is DATA and type(mm.unpatch(model)) is kind  # nothing merges yet
        asked.append(path)
        torch.nn.init.constant_(model.model.vision_tower.embeddings.class_embedding, 7.0)
        torch.rand(len(asked))  # training the vision model uses the generator, and loading it does not

    monkeypatch.setattr(run, "prepare_tower", prepare)
    found = [train(arm, tmp_path, replace(ONE_STEP, lr=0.0)).model.state_dict() for arm in ARMS]
    assert len(set(asked)) == 1 and tmp_path in asked[0].parents
    for state in found:
        assert (state["model.vision_tower.embeddings.class_embedding"] == 7).all()
        assert all(torch.equal(state[name], found[0][name]) for name in state)
    train(SFT, tmp_path, replace(ONE_STEP, seed=1))
    assert asked[-1] not in asked[:-1]


class Seen(QuestionBatches):
    """Records the indices of the questions that were asked for."""

    numbers: list[tuple[int, ...]]

    def __call__(self, numbers: Any) -> dict[str, Any]:
        self.numbers.append(tuple(numbers))
        return super().__call__(numbers)


def seen_data() -> VqaData:
    train = DATA.train
    seen = Seen(train.questions, train.words, PLACES, DATA.statistics)
    seen.numbers = []
    return replace(DATA, train=seen)


def test_all_arms_see_the_same_questions_in_the_same_order(tmp_path: Path) -> None:
    orders = []
    for arm in (SFT, HALF):
        made: Any = seen_data()
        train(arm, tmp_path, replace(SETTINGS, epochs=2), data=made)
        orders.append(made.train.numbers[:8])
    assert orders[0] == orders[1]
    for epoch in (orders[0][:4], orders[0][4:]):
        assert sorted(number for batch in epoch for number in batch) == list(range(16))
    assert orders[0][:4] != orders[0][4:]


@pytest.mark.parametrize(("arm", "places"), [(SFT, PLACES), (MERGEMIX, PLACES), (HALF, PLACES // 2)])
def test_half_the_image_tokens_make_prompts_shorter(
    arm: Arm, places: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    real = run.small_llava

    def build(*args: Any) -> Any:
        model = real(*args)
        model.model.language_model.register_forward_pre_hook(
            lambda module, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
        )
        return model

    monkeypatch.setattr(run, "small_llava", build)
    outcome = train(arm, tmp_path, replace(SETTINGS, epochs=0.5))
    longest = max(len(prompt) for prompt in DATA.train.prompts)
    assert len(lengths) == outcome.steps * (1 if arm is SFT else 2)  # winners and losers
    assert max(lengths) <= longest - PLACES + places
    lengths.clear()
    predict_answers(outcome.model, DATA.test, range(len(DATA.test)))
    assert lengths == [max(len(prompt) for prompt in DATA.test.prompts) - PLACES + places]
    plain = type(real(SIZE, len(DATA.words)))
    assert (type(outcome.model) is plain) == (arm is not HALF)
    assert type(mm.unpatch(outcome.model)) is plain


def test_the_answer_and_the_preference_are_learnt(tmp_path: Path) -> None:
    outcome = train(MERGEMIX, tmp_path, replace(SETTINGS, epochs=12))
    logp, labels = predict_answers(outcome.model, DATA.train, range(16))
    assert (logp.argmax(dim=1) == labels).float().mean() > 0.8
    logged = lines(outcome)
    assert logged[-1]["answer_loss"] < 0.5 * logged[0]["answer_loss"]
    assert logged[-1]["reward_margin"] > logged[0]["reward_margin"]


@pytest.mark.parametrize(("epochs", "steps"), [(0.001, 1), (1, 4), (1.5, 6), (2.1, 8), (100, 400)])
def test_the_number_of_steps_follows_from_the_epochs(
    epochs: float, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("timm_mergemix.training.vqa.trainer.train", lambda *args: asked.append(args[5]) or [])
    assert train(SFT, tmp_path, replace(SETTINGS, epochs=epochs)).steps == steps
    assert asked == [steps]


def test_seconds_per_step_are_the_median_of_the_history() -> None:
    history = [{"seconds_per_step": value} for value in (0.3, 0.1, 9.0)]
    last = {"train_runtime": 1.0}
    assert VqaOutcome(SFT, None, [*history, last], 3).seconds_per_step == 0.3
    assert math.isnan(VqaOutcome(SFT, None, [last], 3).seconds_per_step)


def test_a_second_process_cannot_train_the_same_arm(tmp_path: Path) -> None:
    train(SFT, tmp_path, ONE_STEP)
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    with locked(folder), pytest.raises(MergeMixError, match="is being written by another process"):
        train(SFT, tmp_path, ONE_STEP, fresh=True)
    assert checkpoints(tmp_path) == ["checkpoint-1"] and not list(tmp_path.rglob(".*"))
