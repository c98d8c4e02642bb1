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
from .checkpoint import differing, load_checkpoint, save_checkpoint
from .evaluate import evaluate
from .mixers import Mix
from .objective import Objective, PreferenceOptions, build_objective
from .optim import Recipe, build_optimizer
from .progress import Bar, Reporter
from .seeds import seed_all

__all__ = ["Batches", "Run", "fit", "train_step"]


class Batches(Protocol):
    """Images and labels, batch by batch; what is random comes from the process's generators."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Any: ...


@dataclass
class Run:
    """One training run and how far it is.

    Attributes:
        title: Shown to people.
        model: The model, patched if it trains with token merging; on ``device``.
        mixer: Mixes a batch; None trains on plain images.
        recipe: Hyperparameters.
        settings: Everything that decides the outcome, as plain values; a checkpoint of other settings is refused.
        path: Where the checkpoint goes.
        seed: Epoch ``e`` draws from generators seeded with ``(seed, e)``.
        device: Where to train.
        amp: Whether the forward passes run in bfloat16.
        preference: Preference of the clean image over its mix; None trains without it.
        history: A record for each finished epoch.
    """

    title: str
    model: nn.Module
    mixer: Mix | None
    recipe: Recipe
    settings: dict[str, Any]
    path: Path
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    amp: bool = False
    preference: PreferenceOptions | None = None
    history: list[dict[str, float]] = field(default_factory=list)


def fit(run: Run, train: Batches, val: Iterable[tuple[Tensor, Tensor]], reporter: Reporter) -> None:
    """Trains until all epochs are finished, from the checkpoint at ``run.path`` if there is one.

    Args:
        run: What to train; its model and history are brought to the end of the run.
        train: Training batches.
        val: Plain validation batches.
        reporter: For the bar and the lines.

    Raises:
        MergeMixError: If the checkpoint belongs to other settings, there is no batch, or the loss is not finite.
    """
    if len(train) == 0:
        raise wrong("batch_size", Words("more images per batch than there are training images"), "fewer")
    optimizer, scheduler = build_optimizer(run.model, run.recipe, len(train))
    if run.path.exists():
        _restore(run, optimizer, scheduler)
    epochs, done = run.recipe.epochs, len(run.history)
    with reporter.bar(run.title, epochs * len(train), done * len(train)) as bar:
        for epoch in range(done + 1, epochs + 1):
            seed_all(run.seed, epoch)
            start = time.perf_counter()
            terms = _train_epoch(run, optimizer, scheduler, train, bar, epoch)
            seconds = time.perf_counter() - start
            result = evaluate(run.model, val, run.device, amp=run.amp)
            loss = terms.pop("loss")
            record = {"epoch": epoch, "train_loss": loss, "val_loss": result.loss, "val_top1": result.top1}
            run.history.append({**record, **terms, "seconds": seconds})
            save_checkpoint(run.path, _state(run, optimizer, scheduler))
            if not reporter.bars and (epoch == epochs or epoch % -(-epochs // 10) == 0):
                top1 = f"validation top-1 {100 * result.top1:.1f} %"
                reporter.say(f"{run.title}: epoch {epoch} of {epochs}, training loss {loss:.3f}, {top1}")


def _train_epoch(
    run: Run, optimizer: Optimizer, scheduler: Any, train: Batches, bar: Bar, epoch: int
) -> dict[str, float]:
    """Trains on all batches and returns the mean loss, and the means of its terms."""
    objective = build_objective(run.model, run.mixer, run.recipe.smoothing, run.preference)
    shown = {"epoch": f"{epoch}/{run.recipe.epochs}"}
    if run.history:
        shown["top-1"] = f"{100 * run.history[-1]['val_top1']:.1f} %"
    run.model.train()
    history: list[dict[str, Tensor]] = []
    for i, (images, labels) in enumerate(train):
        terms = train_step(run, objective, optimizer, images, labels)
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
    run: Run, objective: Objective, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """One step of a run in training mode, but for its schedule; returns the terms of the loss."""
    images, labels = images.to(run.device), labels.to(run.device)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp):
        terms = objective(images, labels)
    optimizer.zero_grad()
    terms["loss"].backward()
    if run.recipe.clip_grad is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), run.recipe.clip_grad)
    optimizer.step()
    return terms


def _state(run: Run, optimizer: Optimizer, scheduler: Any) -> dict[str, Any]:
    return {
        "settings": run.settings,
        "epochs_done": len(run.history),
        "model": run.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "history": run.history,
    }


def _restore(run: Run, optimizer: Optimizer, scheduler: Any) -> None:
    state = load_checkpoint(run.path)
    different = differing(state["settings"], run.settings)
    if different:
        raise unusable(run.path, f"holds a run with other settings: {different}")
    run.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    run.history[:] = state["history"]
