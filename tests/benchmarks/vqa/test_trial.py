"""A trial trains once, measures the trained model, and reads the test questions only on request."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks.vqa import trial as module
from benchmarks.vqa.arms import find_arm
from benchmarks.vqa.trial import Trial, data_of, run_trial
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.vqa.arms import VqaSettings, pair_mixer
from timm_mergemix.training.vqa.measure import evaluate_answers, evaluate_mixes
from timm_mergemix.training.vqa.run import train_arm

from ...training.vqa.made import PLACES, questions

QUIET = Reporter(quiet=True)
SETTINGS = VqaSettings(epochs=0.5, batch_size=4)


@pytest.mark.usefixtures("few")
def test_the_last_training_drawings_are_held_out() -> None:
    found, whole = data_of(test=False), questions(6)
    assert found.train.questions.items == whole.items[:16]
    assert torch.equal(found.train.questions.images, whole.images[:4])
    assert torch.equal(found.test.questions.images, whole.images[4:])
    assert [each.text for each in found.test.questions.items] == [each.text for each in whole.items[16:]]
    assert data_of(test=False) is found  # the questions are read only once


@pytest.mark.usefixtures("few")
def test_for_the_test_all_training_drawings_are_used() -> None:
    found = data_of(test=True)
    assert found.train.questions.items == questions(6).items
    assert found.test.questions.items == questions(3, seed=1).items
    assert found.train([0])["input_ids"].tolist()[0].count(2) == PLACES


def test_a_record_identifies_its_trial() -> None:
    trials = [
        Trial("sft", SETTINGS),
        Trial("sft", SETTINGS, test=True),
        Trial("cutmix", SETTINGS),
        *(Trial("sft", VqaSettings(**{**asdict(SETTINGS), **other})) for other in ({"seed": 1}, {"beta": 2.0})),
    ]
    plain = [json.dumps(each.plain(), sort_keys=True) for each in trials]
    assert len(set(plain)) == len(trials)
    assert json.loads(plain[0]) == Trial("sft", SETTINGS).plain()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("name", "test"), [("sft", False), ("random-half", True)])
def test_measures_are_those_of_the_trained_model(name: str, test: bool, tmp_path: Path) -> None:
    pytest.importorskip("transformers", minversion="5.18")
    trial = Trial(name, SETTINGS, test)
    record = run_trial(trial, tmp_path, QUIET)
    assert json.loads(json.dumps(record)) == record
    assert record["trial"] == trial.plain() and record["steps"] == (3 if test else 2)
    data, numbers = data_of(test), range(12 if test else 8)
    model = train_arm(find_arm(name), data, SETTINGS, tmp_path, QUIET).model  # the training is finished
    wanted = asdict(evaluate_answers(model, data.test, numbers))
    for kind in ("cutmix", "mergemix"):
        order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0)).tolist()
        mixer = pair_mixer(kind, model, generator=torch.Generator().manual_seed(0))
        for measure, value in evaluate_mixes(model, data.test, order, mixer).summary().items():
            wanted[f"{kind}_{measure}"] = value
    assert record["measured"] == pytest.approx(wanted, nan_ok=True)


@pytest.mark.usefixtures("few")
def test_the_number_of_mixed_questions_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", minversion="5.18")
    asked: list[int] = []
    real = module.evaluate_mixes
    monkeypatch.setattr(module, "evaluate_mixes", lambda *args: asked.append(len(args[2])) or real(*args))
    monkeypatch.setattr(module, "MIXED", 5)
    run_trial(Trial("sft", SETTINGS), tmp_path, QUIET)
    assert asked == [5, 5]
