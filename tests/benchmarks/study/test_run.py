"""A trial trains with its options, starts from shared weights, and is measured on the allowed images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.study import tasks
from benchmarks.study.arms import ARMS
from benchmarks.study.places import HERE
from benchmarks.study.run import prepare, run_trial
from benchmarks.study.setup import HeldOut, Setup
from benchmarks.study.trial import Trial
from timm_mergemix import MergeMixError, merge_info
from timm_mergemix.training.progress import Reporter

from . import made

CPU, QUIET = torch.device("cpu"), Reporter(quiet=True)


@pytest.mark.parametrize("name", ARMS)
def test_each_method_trains(stripes: str, name: str, tmp_path: Path) -> None:
    options = (("epochs", 1),)
    record = run_trial(Trial(stripes, name, 0, options), tmp_path, CPU, QUIET)
    assert record["epochs"] == 1 and "test" not in record
    assert 0 <= record["val"]["top1"] <= 1


def test_the_test_images_are_read_only_on_request(stripes: str, tmp_path: Path) -> None:
    record = run_trial(Trial(stripes, "mergemix", 0, (), True), tmp_path, CPU, QUIET)
    late = {"noise", "fog", "darker", "merged to half", "mergemix_accuracy", "cutmix_margin"}
    assert {"top1", "ece"} | late <= set(record["test"])
    assert not late & set(record["val"])


def test_a_record_has_the_seconds_and_the_accuracy_of_each_epoch(stripes: str, tmp_path: Path) -> None:
    record = run_trial(Trial(stripes, "none", 0, (("epochs", 3),)), tmp_path, CPU, QUIET)
    assert len(record["curve"]) == 3
    assert all(seconds > 0 and 0 <= top1 <= 1 for seconds, top1 in record["curve"])


def test_choosing_settings_reads_no_test_images(stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutTest(made.Stripes):
        def __call__(self, *args: object) -> Setup:
            return replace(super().__call__(*args), test=HeldOut(None, None, None))

    monkeypatch.setitem(tasks.TASKS, stripes, replace(made.TASK, set_up=WithoutTest()))
    run_trial(Trial(stripes, "mergemix"), tmp_path, CPU, QUIET)
    with pytest.raises(TypeError, match="not iterable"):
        run_trial(Trial(stripes, "mergemix", test=True), tmp_path, CPU, QUIET)


def test_a_trial_is_reproducible_from_its_settings(stripes: str, tmp_path: Path) -> None:
    trials = [Trial(stripes, "mergemix", 1), Trial(stripes, "mergemix", 1), Trial(stripes, "mergemix", 2)]
    same, again, other = (run_trial(trial, tmp_path / str(i), CPU, QUIET) for i, trial in enumerate(trials))
    assert same["val"] == again["val"] != other["val"]
    assert trials[0].key == trials[1].key != trials[2].key


def test_all_methods_start_from_the_same_weights_and_images(stripes: str, tmp_path: Path) -> None:
    setups = [prepare(Trial(stripes, name), tmp_path, CPU)[1] for name in ("none", "mergemix-merged")]
    states = [setup.model.state_dict() for setup in setups]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    firsts = [next(iter(setup.val.all))[0] for setup in setups]
    assert torch.equal(*firsts)


def test_half_precision_is_used_in_training_and_for_every_measure(
    stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()

    class Watched(made.Stripes):
        def __call__(self, *args: object) -> Setup:
            setup = super().__call__(*args)
            setup.model.head.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
            return setup

    for amp, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        seen.clear()
        monkeypatch.setitem(tasks.TASKS, stripes, replace(made.TASK, set_up=Watched(), amp=amp))
        run_trial(Trial(stripes, "none", 0, (), True), tmp_path / str(amp), CPU, QUIET)
        assert seen == {dtype}


def test_options_reach_the_training(stripes: str, tmp_path: Path) -> None:
    chosen = (("lr", 0.5), ("prob", 0.25), ("beta", 2.0), ("saliency_r", "keep:0.8"))
    run, _ = prepare(Trial(stripes, "preference", 0, chosen), tmp_path, CPU, HERE)
    assert (run.optimisation.lr, run.mixer.prob, run.preference.beta) == (0.5, 0.25, 2.0)
    assert run.mixer.saliency.config.saliency_r == "keep:0.8"
    run, setup = prepare(Trial(stripes, "mergemix-merged", 0, (("r", "total:3"),)), tmp_path, CPU)
    assert merge_info(setup.model).r == ("total", 3)


def test_an_interrupted_trial_is_resumed(stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(stripes, "mergemix")
    whole = run_trial(trial, tmp_path / "a", CPU, QUIET)
    from timm_mergemix.training import loop

    real, saved = loop.save_checkpoint, []

    def once(*args: object) -> None:
        real(*args)
        saved.append(1)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", once)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, tmp_path / "b", CPU, QUIET)
    assert run_trial(trial, tmp_path / "b", CPU, QUIET)["val"] == whole["val"]


def test_bad_trials_are_refused(stripes: str, tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="task: got 'nothing'"):
        prepare(Trial("nothing", "none"), tmp_path, CPU)
    with pytest.raises(MergeMixError, match="method: got 'nothing'"):
        Trial(stripes, "nothing")
    with pytest.raises(MergeMixError, match="seed: got -1"):
        Trial(stripes, "none", -1)
    with pytest.raises(MergeMixError, match="options: none has no preference to set"):
        prepare(Trial(stripes, "none", 0, (("beta", 1.0),)), tmp_path, CPU)
    with pytest.raises(MergeMixError, match="options: got label_smoothing, wanted smoothing"):
        prepare(Trial(stripes, "mergemix", 0, (("label_smoothing", 0.0),)), tmp_path, CPU)
    with pytest.raises(MergeMixError, match="options: mergemix has no preference to set"):
        prepare(Trial(stripes, "mergemix", 0, (("beta", 1.0),)), tmp_path, CPU)
