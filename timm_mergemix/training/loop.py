"""The training loop: one model, one mixer, a checkpoint after each epoch."""

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
    """What is trained, how, and how far it is.

    Attributes:
        title: Shown to people.
        model: The model, patched if it trains with token merging; on ``device``.
        mixer: Mixes a batch; None trains on plain images.
        optimisation: Settings of optimiser and schedule.
        settings: Everything that decides the outcome, as plain values; a checkpoint of other settings is refused.
        path: Where the checkpoint goes.
        seed: Epoch ``e`` draws from generators seeded with ``(seed, e)``.
        device: Where to train.
        amp: Whether the forward passes run in bfloat16.
        preference: Preference of the clean image over its mix.
        history: A record for each finished epoch.
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
        fresh: Whether a checkpoint that is there is dropped.

    Raises:
        MergeMixError: If the checkpoint belongs to other settings, or another process writes it; there is no batch, or
            the loss is not finite.
    """
    if len(train) == 0:
        raise wrong("batch_size", Words("more images per batch than there are training images"), "fewer")
    with locked(job.path):
        if fresh:
            job.path.unlink(missing_ok=True)
        _fit(job, train, val, reporter)


def _fit(job: Job, train: Batches, val: Iterable[tuple[Tensor, Tensor]], reporter: Reporter) -> None:
    optimizer, scheduler = build_optimizer(job.model, job.optimisation, len(train))
    if job.path.exists():
        _restore(job, optimizer, scheduler)
    epochs, done = job.optimisation.epochs, len(job.history)
    with reporter.bar(job.title, epochs * len(train), done * len(train)) as bar:
        for epoch in range(done + 1, epochs + 1):
            seed_all(job.seed, epoch)
            start = time.perf_counter()
            terms = _train_epoch(job, optimizer, scheduler, train, bar, epoch)
            seconds = time.perf_counter() - start
            result = evaluate(job.model, val, job.device, amp=job.amp)
            loss = terms.pop("loss")
            record = {"epoch": epoch, "train_loss": loss, "val_loss": result.loss, "val_top1": result.top1}
            job.history.append({**record, **terms, "seconds": seconds})
            save_checkpoint(job.path, _state(job, optimizer, scheduler))
            if not reporter.bars and (epoch == epochs or epoch % -(-epochs // 10) == 0):
                top1 = f"validation top-1 {100 * result.top1:.1f} %"
                reporter.say(f"{job.title}: epoch {epoch} of {epochs}, training loss {loss:.3f}, {top1}")


def _train_epoch(
    job: Job, optimizer: Optimizer, scheduler: Any, train: Batches, bar: Bar, epoch: int
) -> dict[str, float]:
    """Trains on all batches and returns the mean loss, and the means of its terms."""
    objective = build_objective(job.model, job.mixer, job.optimisation.smoothing, job.preference)
    shown = {"epoch": f"{epoch}/{job.optimisation.epochs}"}
    if job.history:
        shown["top-1"] = f"{100 * job.history[-1]['val_top1']:.1f} %"
    job.model.train()
    history: list[dict[str, Tensor]] = []
    for i, (images, labels) in enumerate(train):
        terms = train_step(job, objective, optimizer, images, labels)
        scheduler.step_update((epoch - 1) * len(train) + i + 1)
        history.append({name: value.detach() for name, value in terms.items()})
        bar.step(**shown)
    loss = torch.stack([terms["loss"] for terms in history]).mean().item()
    if not math.isfinite(loss):
        raise unusable("lr", f"the training loss became {loss} in epoch {epoch}, wanted a smaller learning rate")
    # A batch in which nothing was mixed has no pair, and its metrics are nan.
    means = {name: torch.stack([terms[name] for terms in history]).nanmean().item() for name in history[0]}
    return {**means, "loss": loss}


def train_step(
    job: Job, objective: Objective, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """One step of a job in training mode, but for its schedule; returns the terms of the loss."""
    images, labels = images.to(job.device), labels.to(job.device)
    with torch.autocast(job.device.type, torch.bfloat16, enabled=job.amp):
        terms = objective(images, labels)
    optimizer.zero_grad()
    terms["loss"].backward()
    if job.optimisation.clip_grad:
        nn.utils.clip_grad_norm_(job.model.parameters(), job.optimisation.clip_grad)
    optimizer.step()
    return terms


def _state(job: Job, optimizer: Optimizer, scheduler: Any) -> dict[str, Any]:
    return {
        "settings": job.settings,
        "epochs_done": len(job.history),
        "model": job.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "history": job.history,
    }


def _restore(job: Job, optimizer: Optimizer, scheduler: Any) -> None:
    state = load_checkpoint(job.path)
    different = differing(state["settings"], job.settings)
    if different:
        raise unusable(job.path, f"holds a run with other settings: {different}")
    job.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    job.history[:] = state["history"]
