"""AdamW with a cosine schedule and warm-up, as timm builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim import Optimizer

from ..config import Config, integer, number, option

__all__ = ["Optimisation", "build_optimizer"]


@dataclass(frozen=True)
class Optimisation(Config):
    """Settings of the optimisation."""

    epochs: int = option(100, "length of the run, warm-up counted", integer(1), read=int)
    lr: float = option(1e-3, "peak learning rate of AdamW", number(0), read=float)
    weight_decay: float = option(0.05, "weight decay, of which biases and norms have none", number(0), read=float)
    warmup_epochs: int = option(5, "epochs of linear warm-up", number(0), flag="--warmup", read=int, metavar="EPOCHS")
    min_lr: float = option(1e-5, "learning rate at the end of the cosine", number(0), read=float)
    beta2: float = option(0.999, "AdamW's second coefficient; a short run wants a smaller one", number(0, 1), flag="")
    clip_grad: float | None = option(
        5.0, "largest norm of the gradient; 0: no limit", number(0), read=float, metavar="NORM", optional=True
    )
    smoothing: float = option(0.1, "label smoothing where nothing is mixed", number(0, 1), flag="")


def build_optimizer(model: nn.Module, settings: Optimisation, steps_per_epoch: int) -> tuple[Optimizer, Any]:
    """AdamW, and a timm scheduler that is advanced by ``step_update`` after each step."""
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, settings.beta2)
    )
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=settings.epochs,
        warmup_epochs=min(settings.warmup_epochs, settings.epochs - 1),
        warmup_lr=settings.min_lr,
        min_lr=settings.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    return optimizer, scheduler
