"""AdamW with a cosine schedule and warm-up, as timm builds them."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim import Optimizer

from .settings import Optimisation

__all__ = ["Optimisation", "build_optimizer"]


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
