"""A job trains, stops, resumes with the same result, and refuses the checkpoint of another job."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.files.lock import locked
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.training import loop
from timm_mergemix.training.checkpoint import load_checkpoint
from timm_mergemix.training.evaluate import Evaluation
from timm_mergemix.training.images import MemoryBatches, Statistics
from timm_mergemix.training.loop import Job, fit, train_step
from timm_mergemix.training.mixers import build_mixer
from timm_mergemix.training.model import small_vit, train_merged
from timm_mergemix.training.optim import Optimisation
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.seeds import seed_all

from ..files.faults import failing
from .made import striped

QUIET = Reporter(quiet=True)
TRAIN = striped(32)
STATISTICS = Statistics.of(TRAIN.images)


def batches(size: int = 8, train: bool = True) -> MemoryBatches:
    return MemoryBatches(TRAIN if train else striped(16, seed=1), size, STATISTICS, train=train, pad=1, flip=True)


def make(path: Path, mixer: str = "mergemix", r: int = 1, epochs: int = 3, **options: object) -> Job:
    seed_all(0, 0)
    model = small_vit((1, 8, 8), 2, 2, width=32, depth=3)
    # Stochastic depth draws random numbers in the forward pass, which resuming must reproduce too.
    for block in model.blocks:
        block.drop_path1 = block.drop_path2 = torch.nn.Dropout(0.1)
    train_merged(model, r)
    mix = build_mixer(mixer, model, 2, {})
    optimisation = Optimisation(epochs=epochs, lr=3e-3, warmup_epochs=1)
    return Job("a run", model, mix, optimisation, {"epochs": epochs}, path, **options)


class Interrupted(MemoryBatches):
    """Ctrl-C in the middle of the second epoch."""

    epoch = 0

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        self.epoch += 1
        for i, batch in enumerate(super().__iter__()):
            if self.epoch == 2 and i == 2:
                raise KeyboardInterrupt
            yield batch


@pytest.mark.parametrize(("mixer", "r"), [("mergemix", 1), ("timm", 0), ("none", 0)])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, mixer: str, r: int) -> None:
    whole, half, rest = (make(tmp_path / name / "last.pt", mixer, r) for name in ("whole", "parts", "parts"))
    fit(whole, batches(), batches(train=False), QUIET)
    with pytest.raises(KeyboardInterrupt):
        fit(half, Interrupted(TRAIN, 8, STATISTICS, train=True, pad=1, flip=True), batches(train=False), QUIET)
    assert len(half.history) == 1
    fit(rest, batches(), batches(train=False), QUIET)
    assert [record["epoch"] for record in rest.history] == [1, 2, 3]
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, rest.model.state_dict()[name]), name
    for first, second in zip(whole.history, rest.history, strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_a_resumed_run_with_the_preference_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    options = {"preference": PreferenceConfig(weight=0.5)}
    whole, half, rest = (make(tmp_path / name / "last.pt", **options) for name in ("whole", "parts", "parts"))
    fit(whole, batches(), batches(train=False), QUIET)
    with pytest.raises(KeyboardInterrupt):
        fit(half, Interrupted(TRAIN, 8, STATISTICS, train=True, pad=1, flip=True), batches(train=False), QUIET)
    fit(rest, batches(), batches(train=False), QUIET)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, rest.model.state_dict()[name]), name
    assert {"preference", "reward_margin", "preference_accuracy"} <= set(whole.history[0])


def test_means_of_the_preference_are_over_batches_with_pairs(tmp_path: Path) -> None:
    run = make(tmp_path / "last.pt", epochs=1, preference=PreferenceConfig(weight=0.5))

    class HalfMixed(MemoryBatches):
        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for i, batch in enumerate(super().__iter__()):
                run.mixer.mixup_enabled = i % 2 == 0
                yield batch

    fit(run, HalfMixed(TRAIN, 8, STATISTICS, train=True, pad=1, flip=True), batches(train=False), QUIET)
    record = run.history[0]
    wanted = record["soft_target"] + 0.5 * record["preference"] / 2
    assert record["train_loss"] == pytest.approx(wanted, rel=1e-5) and record["preference"] > 0


def test_a_run_with_weight_0_is_the_run_without_the_preference(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain.pt")
    weightless = make(tmp_path / "weightless.pt", preference=PreferenceConfig(weight=0.0))
    for run in (plain, weightless):
        fit(run, batches(), batches(train=False), QUIET)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, weightless.model.state_dict()[name]), name
    assert [{**record, "seconds": 0} for record in plain.history] == [
        {**record, "seconds": 0} for record in weightless.history
    ]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run = make(tmp_path / "last.pt", epochs=1)
    fit(run, batches(), batches(train=False), QUIET)
    again = make(tmp_path / "last.pt", epochs=1)
    fit(again, Interrupted(TRAIN, 8, STATISTICS, train=True), batches(train=False), QUIET)
    assert again.history == run.history


def test_the_checkpoint_fits_the_plain_model(tmp_path: Path) -> None:
    run = make(tmp_path / "last.pt", epochs=1)
    fit(run, batches(), batches(train=False), QUIET)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    plain = small_vit((1, 8, 8), 2, 2, width=32, depth=3)
    plain.load_state_dict(state["model"])
    assert state["epochs_done"] == 1 and state["settings"] == {"epochs": 1}


@pytest.mark.parametrize("amp", [False, True])
def test_it_learns(tmp_path: Path, amp: bool) -> None:
    run = make(tmp_path / "last.pt", "none", 0, epochs=6, amp=amp)
    fit(run, batches(), batches(train=False), QUIET)
    assert run.history[-1]["val_top1"] == 1.0
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fit(make(tmp_path / "last.pt", epochs=1), batches(), batches(train=False), QUIET)
    other = make(tmp_path / "last.pt", epochs=2)
    other.settings["mixer"] = "cutmix"
    with pytest.raises(mm.MergeMixError, match=r"other settings: mixer \(None there, 'cutmix' now\)"):
        fit(other, batches(), batches(train=False), QUIET)


def test_a_resumed_run_of_another_length_follows_the_schedule_of_that_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates: list[float] = []

    def step(job: Job, objective: object, optimizer: torch.optim.Optimizer, *batch: torch.Tensor) -> object:
        rates.append(optimizer.param_groups[0]["lr"])
        return train_step(job, objective, optimizer, *batch)

    monkeypatch.setattr(loop, "train_step", step)
    for name, epochs in (("whole", 3), ("parts", 2), ("parts", 3)):
        run = make(tmp_path / name / "last.pt", "none", 0, epochs=epochs)
        fit(run, batches(), batches(train=False), Reporter())
    assert [record["epoch"] for record in run.history] == [1, 2, 3]
    assert rates[-4:] == pytest.approx(rates[8:12]) and rates[-4] > 2 * rates[-5]
    assert "a run of 2 epochs, 2 of them finished, continues as one of 3;" in capsys.readouterr().out
    with pytest.raises(mm.MergeMixError, match=r"^epochs: got 2, wanted at least 3, the epochs that .*last\.pt has"):
        fit(make(tmp_path / "parts" / "last.pt", "none", 0, epochs=2), batches(), batches(train=False), QUIET)


def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.5, 0.9, 0.9, 0.2, 0.4])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: Evaluation(next(found), 1.0, 0.1, 16))
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    for epochs, fresh, of_best in ((3, False, 2), (4, False, 2), (1, True, 1)):
        fit(make(last, "none", 0, epochs=epochs, best=best), batches(), batches(train=False), QUIET, fresh)
        assert (load_checkpoint(last)["epochs_done"], load_checkpoint(best)["epochs_done"]) == (epochs, of_best)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_an_image_counts_once_in_the_images_per_second(
    weight: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=iter([1.0, 3.0]).__next__))
    run = make(tmp_path / "last.pt", epochs=1, preference=PreferenceConfig(weight=weight))
    fit(run, batches(), batches(train=False), Reporter())  # 32 images in 2 seconds
    assert capsys.readouterr().out.endswith(", 16 images per second\n")


def test_no_batches(tmp_path: Path) -> None:
    with pytest.raises(mm.MergeMixError, match="batch_size"):
        fit(make(tmp_path / "last.pt"), batches(size=33), batches(train=False), QUIET)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = make(tmp_path / "last.pt", "none", 0)
    with torch.no_grad():
        run.model.head.weight.fill_(float("inf"))
    with pytest.raises(mm.MergeMixError, match="became nan in epoch 1"):
        fit(run, batches(), batches(train=False), QUIET)
    assert not (tmp_path / "last.pt").exists()


def test_lines_and_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(make(tmp_path / "a" / "last.pt", "none", 0, epochs=1), batches(), batches(train=False), Reporter())
    assert "a run: epoch 1 of 1, training loss" in capsys.readouterr().out
    fit(make(tmp_path / "b" / "last.pt", "none", 0, epochs=1), batches(), batches(train=False), Reporter(progress=True))
    shown = capsys.readouterr()
    assert shown.out == "" and "4/4" in shown.err


def test_one_process_at_a_time_trains_a_run(tmp_path: Path) -> None:
    run = make(tmp_path / "last.pt", epochs=1)
    with locked(run.path):
        for fresh in (False, True):
            with pytest.raises(MergeMixError, match=r"last\.pt: is being written by another process"):
                fit(run, batches(), batches(train=False), QUIET, fresh)
    fit(run, batches(), batches(train=False), QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"] and len(run.history) == 1


def test_a_fresh_run_drops_the_checkpoint(tmp_path: Path) -> None:
    for fresh, seen in ((False, 1), (False, 0), (True, 1)):
        run, train = make(tmp_path / "last.pt", epochs=1), Interrupted(TRAIN, 8, STATISTICS, train=True)
        fit(run, train, batches(train=False), QUIET, fresh)
        assert train.epoch == seen


def test_a_full_disk_leaves_the_epoch_before(tmp_path: Path) -> None:
    whole, run, rest = (make(tmp_path / name / "last.pt") for name in ("whole", "parts", "parts"))
    with failing(10**9) as counted:
        fit(whole, batches(), batches(train=False), QUIET)
    # Near the end of the last checkpoint.
    with failing(counted.count - 5), pytest.raises(MergeMixError, match=r"last\.pt: cannot be written: .*No space"):
        fit(run, batches(), batches(train=False), QUIET)
    assert [path.name for path in run.path.parent.iterdir()] == ["last.pt"]
    assert load_checkpoint(run.path)["epochs_done"] == 2
    fit(rest, batches(), batches(train=False), QUIET)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, rest.model.state_dict()[name]), name
