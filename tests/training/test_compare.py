"""The demo treats all methods alike, and trains none of them twice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from timm_mergemix.training import compare
from timm_mergemix.training.compare import Outcome, train_method
from timm_mergemix.training.methods import METHODS, PREFERENCE, DemoSettings
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.sources import DemoData, Source

from .made import striped

SETTINGS = DemoSettings(epochs=2, batch_size=8, width=32, depth=3, r=1)
BY_NAME = {method.name: method for method in (*METHODS, PREFERENCE)}


def made_data() -> DemoData:
    train, test = striped(17), striped(8, seed=1)
    source = Source("made", "here", train, test, ("upper", "lower"), patch=2, pad=1, flip=True)
    return DemoData(source, train, striped(8, seed=2), test)


def train(name: str, out: Path, settings: DemoSettings = SETTINGS, fresh: bool = False) -> Outcome:
    return train_method(BY_NAME[name], made_data(), settings, out, torch.device("cpu"), Reporter(quiet=True), fresh)


@pytest.mark.parametrize(("name", "tokens"), [("mergemix", "13 of 16"), ("timm", "16 of 16")])
def test_outcome(tmp_path: Path, name: str, tokens: str) -> None:
    outcome = train(name, tmp_path)
    assert outcome.tokens == tokens and len(outcome.history) == 2
    assert 0 <= outcome.test.top1 <= 1 and outcome.test.count == 8
    assert 0 <= outcome.test.calibration_error <= 1 and outcome.seconds_per_epoch > 0


@pytest.mark.parametrize("name", BY_NAME)
def test_every_method_learns(name: str, tmp_path: Path) -> None:
    data = replace(made_data(), train=striped(64), test=striped(100, seed=1))
    settings = replace(SETTINGS, epochs=10)
    outcome = train_method(BY_NAME[name], data, settings, tmp_path, torch.device("cpu"), Reporter(quiet=True))
    assert outcome.test.top1 > 0.8  # chance is 0.5
    assert outcome.history[-1]["val_loss"] < outcome.history[0]["val_loss"]


def test_test_images_that_come_class_by_class_are_paired_across_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "EVALUATION_BATCH", 20)
    data = made_data()
    test = striped(40, seed=1)
    data = replace(data, test=test.take(test.labels.argsort()))
    outcome = train_method(BY_NAME["timm"], data, SETTINGS, tmp_path, torch.device("cpu"), Reporter(quiet=True))
    assert outcome.pairs.count > 4  # as they come there is none but at the border


def test_finished_methods_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train("mergemix", tmp_path)
    (path,) = tmp_path.rglob("last.pt")
    written = path.stat().st_mtime_ns
    assert train("mergemix", tmp_path).history == first.history and path.stat().st_mtime_ns == written
    train("mergemix", tmp_path, DemoSettings(**{**vars(SETTINGS), "lr": 5e-3}))
    train("timm", tmp_path)
    assert len(list(tmp_path.rglob("last.pt"))) == 3 and path.stat().st_mtime_ns == written
    train("mergemix", tmp_path, fresh=True)
    assert len(list(tmp_path.rglob("last.pt"))) == 3 and path.stat().st_mtime_ns > written


def test_methods_begin_alike(tmp_path: Path) -> None:
    jobs = [compare.prepare(method, made_data(), SETTINGS, tmp_path, torch.device("cpu")) for method in METHODS]
    first, second = (job.model.state_dict() for job in jobs)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert jobs[0].path != jobs[1].path and not jobs[0].path.exists()
