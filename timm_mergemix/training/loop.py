"""The training loop: one model, one mixer, and a checkpoint after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import Words, unusable, wrong
from ..files.lock import locked
from ..preference.config import PreferenceConfig
from .checkpoint import differing, load_checkpoint, save_checkpoint
from .evaluate import evaluate
from .mixers import Mix
from .objective import NO_PREFERENCE, Objective, build_objective
from .optim import Optimisation, build_optimizer
from .progress import Bar, Reporter
from .seeds import seed_all

__all__ = ["Batches", "Job", "fit", "train_step"]


class Batches(Protocol):
    """Images and labels, batch by batch; what is random comes from the process's generators."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Any: ...


@dataclass
class Job:
    """What is trained, how, and how far it has come.

    Attributes:
        title: Shown to people.
        model: The model, patched if it trains with token merging; on ``device``.
        mixer: Mixes a batch; None trains on plain images.
        optimisation: Settings of optimiser and schedule.
        settings: Everything that decides the outcome, as plain values. A checkpoint of other settings is refused, but
            for ``"epochs"``: a run may be made longer or shorter.
        path: Where the checkpoint goes.
        seed: Epoch ``e`` draws from generators seeded with ``(seed, e)``.
        device: Where to train.
        amp: Whether the forward passes run in bfloat16.
        preference: Preference of the clean image over its mix.
        best: Where the checkpoint of the epoch with the best validation top-1 goes, the first one of equals. None keeps
            none.
        history: One record per finished epoch.
    """

    title: str
    model: nn.Module
    mixer: Mix | None
    optimisation: Optimisation
    settings: dict[str, Any]
    path: Path
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    amp: bool = False
    preference: PreferenceConfig = NO_PREFERENCE
    best: Path | None = None
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    job: Job, train: Batches, val: Iterable[tuple[Tensor, Tensor]], reporter: Reporter, fresh: bool = False
) -> None:
    """Trains until all epochs are finished, from the checkpoint at ``job.path`` if there is one.

    Args:
        job: What to train; its model and history are brought to the end.
        train: Training batches.
        val: Plain validation batches.
        reporter: For the bar and the lines.
        fresh: Whether the checkpoints that are there are dropped.

    Raises:
        MergeMixError: If the checkpoint belongs to other settings or has more epochs than the job, another process
            writes it, there is no batch, or the loss is not finite.
    """
    if len(train) == 0:
        raise wrong("batch_size", Words("more images per batch than there are training images"), "fewer")
    with locked(job.path):
        for path in (job.path, job.best):
            if fresh and path is not None:
                path.unlink(missing_ok=True)
        _fit(job, train, val, reporter)


def _fit(job: Job, train: Batches, val: Iterable[tuple[Tensor, Tensor]], reporter: Reporter) -> None:
    optimizer, scheduler = build_optimizer(job.model, job.optimisation, len(train))
    if job.path.exists():
        _restore(job, optimizer, reporter)
        # The schedule is a function of the step, so that it needs no state, and a run may go on to another length.
        scheduler.step_update(len(job.history) * len(train))
    epochs, done = job.optimisation.epochs, len(job.history)
    with reporter.bar(job.title, epochs * len(train), done * len(train)) as bar:
        for epoch in range(done + 1, epochs + 1):
            seed_all(job.seed, epoch)
            start = time.perf_counter()
            terms, count = _train_epoch(job, optimizer, scheduler, train, bar, epoch)
            seconds = time.perf_counter() - start
            result = evaluate(job.model, val, job.device, amp=job.amp)
            loss = terms.pop("loss")
            record = {"epoch": epoch, "train_loss": loss, "val_loss": result.loss, "val_top1": result.top1}
            job.history.append({**record, **terms, "seconds": seconds})
            _save(job, optimizer)
            if not reporter.bars and (epoch == epochs or epoch % -(-epochs // 10) == 0):
                top1, rate = f"validation top-1 {100 * result.top1:.1f} %", f"{count / seconds:.0f} images per second"
                reporter.say(f"{job.title}: epoch {epoch} of {epochs}, training loss {loss:.3f}, {top1}, {rate}")


def _train_epoch(
    job: Job, optimizer: Optimizer, scheduler: Any, train: Batches, bar: Bar, epoch: int
) -> tuple[dict[str, float], int]:
    """Trains on all batches and returns the means of the loss and of its terms, and the number of images.

    An image counts once, also where the preference shows it to the model a second time.
    """
    objective = build_objective(job.model, job.mixer, job.optimisation.smoothing, job.preference)
    shown = {"epoch": f"{epoch}/{job.optimisation.epochs}"}
    if job.history:
        shown["top-1"] = f"{100 * job.history[-1]['val_top1']:.1f} %"
    job.model.train()
    history: list[dict[str, Tensor]] = []
    count = 0
    for i, (images, labels) in enumerate(train):
        terms = train_step(job, objective, optimizer, images, labels)
        scheduler.step_update((epoch - 1) * len(train) + i + 1)
        history.append({name: value.detach() for name, value in terms.items()})
        count += len(labels)
        bar.step(**shown)
    loss = torch.stack([terms["loss"] for terms in history]).mean().item()
    if not math.isfinite(loss):
        raise unusable("lr", f"the training loss became {loss} in epoch {epoch}, wanted a smaller learning rate")
    # A batch in which nothing was mixed has no pair, and its metrics are nan.
    means = {name: torch.stack([terms[name] for terms in history]).nanmean().item() for name in history[0]}
    return {**means, "loss": loss}, count


def train_step(
    job: Job, objective: Objective, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """One optimiser step of a job in training mode, without its schedule; returns the terms of the loss."""
    images, labels = images.to(job.device), labels.to(job.device)
    with torch.autocast(job.device.type, torch.bfloat16, enabled=job.amp):
        terms = objective(images, labels)
    optimizer.zero_grad()
    terms["loss"].backward()
    if job.optimisation.clip_grad:
        nn.utils.clip_grad_norm_(job.model.parameters(), job.optimisation.clip_grad)
    optimizer.step()
    return terms


def _save(job: Job, optimizer: Optimizer) -> None:
    """Writes the checkpoint, and before it the best one if the last epoch is the best so far.

    After an interrupt between the two, that epoch runs again and gives the same.
    """
    state = {
        "settings": job.settings,
        "epochs_done": len(job.history),
        "model": job.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": job.history,
    }
    *earlier, last = (record["val_top1"] for record in job.history)
    if job.best is not None and last > max(earlier, default=-1.0):
        save_checkpoint(job.best, state)
    save_checkpoint(job.path, state)


def _restore(job: Job, optimizer: Optimizer, reporter: Reporter) -> None:
    state = load_checkpoint(job.path)
    before, now, done = state["settings"].get("epochs"), job.optimisation.epochs, len(state["history"])
    different = differing({**state["settings"], "epochs": now}, {**job.settings, "epochs": now})
    if different:
        raise unusable(job.path, f"contains a run with other settings: {different}")
    if done > now:
        raise wrong("epochs", now, f"at least {done}, the epochs that {job.path} has finished")
    if before is not None and before != now:
        said = f"{job.title}: a run of {before} epochs, {done} of them finished, continues as one of {now}"
        reporter.say(f"{said}; its learning rate follows the schedule of {now} epochs from here.")
    job.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    job.history[:] = state["history"]
