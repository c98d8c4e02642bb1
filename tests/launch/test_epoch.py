"""One epoch of a script, whatever its signature: mixed batches go in, and the criterion knows their targets."""

from __future__ import annotations

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timm.loss import BinaryCrossEntropy
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.launch.criterion import MixCriterion
from timm_mergemix.launch.epoch import run_epoch
from timm_mergemix.launch.loader import MixingLoader
from timm_mergemix.launch.mixing import build_mixer
from timm_mergemix.launch.request import Request
from timm_mergemix.launch.run import Run

from .made import ask, running

IMAGES = torch.rand(4, 3, 32, 32)


def make_run(*flags: str) -> Run:
    run = running(ask(*flags), nn.Linear(1, 1))
    run.mixer = build_mixer(run.request, run.model, None)
    return run


def old(epoch: int, model: Any, loader: Any, optimizer: Any, loss_fn: Any, args: Any, mixup_fn: Any = None) -> Any:
    return {"loader": loader, "criterion": loss_fn, "mixup_fn": mixup_fn}


def new(
    epoch: int,
    model: Any,
    loader: Any,
    optimizer: Any,
    args: Any,
    task: Any = None,
    amp_autocast: Any = nullcontext,
    model_dtype: Any = None,
    mixup_fn: Any = None,
    batch_size_reference: Any = None,
) -> Any:
    return {"loader": loader, "mixup_fn": mixup_fn, "reference": batch_size_reference}


def call_new(run: Run, task: Any, epoch: int = 0, **named: Any) -> dict[str, Any]:
    return run_epoch(run, new, epoch, run.model, [(IMAGES, torch.arange(4))], None, "args", task=task, **named)


def make_task() -> Any:
    return SimpleNamespace(criterion=nn.CrossEntropyLoss())


def test_without_a_mixer_the_call_is_the_scripts() -> None:
    seen = run_epoch(
        running(Request(training=True)), old, 0, "model", "loader", "optimizer", "loss", "args", mixup_fn="mixup"
    )
    assert seen == {"loader": "loader", "criterion": "loss", "mixup_fn": "mixup"}


def test_the_criterion_of_old_releases_is_an_argument() -> None:
    run, loss = make_run("--preference", "1", "--mixup", "1"), nn.CrossEntropyLoss()
    seen = run_epoch(run, old, 0, run.model, [], None, loss, "args", mixup_fn="the script's own")
    assert isinstance(seen["criterion"], MixCriterion)
    assert seen["criterion"].plain is loss
    assert seen["mixup_fn"] is None


@pytest.mark.parametrize("compiled", [False, True])
def test_the_criterion_of_new_releases_belongs_to_the_task(compiled: bool) -> None:
    run, task = make_run("--preference", "1", "--mixup", "1"), make_task()
    given = SimpleNamespace(_orig_mod=task) if compiled else task
    seen = call_new(run, given, mixup_fn="the script's own")
    first = task.criterion
    assert isinstance(first, MixCriterion)
    assert seen["mixup_fn"] is None
    call_new(run, given, epoch=1)
    assert task.criterion is first  # not wrapped twice


@pytest.mark.parametrize(
    "task", [None, SimpleNamespace(), SimpleNamespace(criterion=nn.CrossEntropyLoss(), multi_label=True)]
)
def test_a_task_without_a_class_for_each_image_is_refused(task: Any) -> None:
    with pytest.raises(MergeMixError, match="--preference: the script's task is"):
        call_new(make_run("--preference", "1", "--mixup", "1"), task)


def test_pairs_double_the_batch_size_that_losses_are_scaled_by() -> None:
    run = make_run("--preference", "1", "--mixup", "1", "--mixup-off-epoch", "2")
    seen = call_new(run, make_task(), batch_size_reference=8.0)
    assert seen["reference"] == 16.0
    assert seen["loader"].pairs
    later = call_new(run, make_task(), epoch=2, batch_size_reference=8.0)
    assert later["reference"] == 8.0
    assert not later["loader"].pairs


@pytest.mark.parametrize("asked", [False, True])
def test_bce_loss_also_without_smoothing(asked: bool) -> None:
    run, task = make_run("--preference", "1", "--mixup", "1", *["--bce-loss"] * asked), make_task()
    call_new(run, task)
    assert isinstance(task.criterion.soft, BinaryCrossEntropy) is asked
    assert task.criterion.preference.soft_target.bce is asked


def test_off_epoch_stops_all_mixing() -> None:
    run = make_run("--preference", "1", "--mixup", "1", "--mixup-off-epoch", "1")
    for epoch, mixed in [(0, True), (1, False), (7, False), (0, True)]:
        loader: MixingLoader = call_new(run, make_task(), epoch=epoch)["loader"]
        assert (set(loader.mixer.mix(*loader.loader[0]).kind) == {"mixup"}) is mixed


def test_an_epoch_mixes_alike_whatever_came_before() -> None:
    def first_batch(epochs: list[int]) -> torch.Tensor:
        run = make_run("--preference", "1", "--mixup", "1")
        return [next(iter(call_new(run, make_task(), epoch)["loader"]))[0] for epoch in epochs][-1]

    assert torch.equal(first_batch([0, 1, 2]), first_batch([2]))
    assert not torch.equal(first_batch([1]), first_batch([2]))


def test_terms_of_the_preference_join_the_metrics() -> None:
    seen = call_new(make_run("--preference", "1", "--mixup", "1"), make_task())
    assert list(seen)[-3:] == ["preference_loss", "reward_margin", "preference_accuracy"]


def test_the_metrics_of_all_epochs_have_the_same_names() -> None:
    run = make_run("--preference", "1", "--mixup", "1", "--mixup-off-epoch", "1")
    first, later = (call_new(run, make_task(), epoch=epoch) for epoch in (0, 1))
    assert list(first) == list(later)
    assert math.isnan(later["preference_accuracy"])


def test_the_encoder_follows_the_model() -> None:
    run = make_run("--preference", "1", "--mixup", "1")
    run.encoder = nn.Linear(1, 1)
    call_new(run, make_task(), model_dtype=torch.bfloat16)
    assert next(run.encoder.parameters()).dtype == torch.bfloat16
