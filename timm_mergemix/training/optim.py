"""AdamW with a cosine schedule and warm-up, as timm builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim import Optimizer

from ..errors import check_int, check_number

__all__ = ["Recipe", "build_optimizer"]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the optimisation.

    Attributes:
        epochs: Length of the run, warm-up counted.
        lr: Peak learning rate.
        weight_decay: Decoupled weight decay; biases and norms have none.
        warmup_epochs: Epochs of linear warm-up.
        min_lr: Learning rate at the end.
        beta2: AdamW's second coefficient; a short run wants a smaller one.
        clip_grad: Largest norm of the gradient, None for no limit.
        smoothing: Label smoothing where nothing is mixed; mixers smooth their own targets.
    """

    epochs: int
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: int = 2
    min_lr: float = 1e-5
    beta2: float = 0.999
    clip_grad: float | None = 5.0
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1)
        check_number("warmup", self.warmup_epochs, 0)
        for name in ("lr", "weight_decay", "min_lr"):
            check_number(name, getattr(self, name), 0.0)
        check_number("beta2", self.beta2, 0.0, 1.0)
        check_number("smoothing", self.smoothing, 0.0, 1.0)
        if self.clip_grad is not None:
            check_number("clip_grad", self.clip_grad, 0.0)


def build_optimizer(model: nn.Module, recipe: Recipe, steps_per_epoch: int) -> tuple[Optimizer, Any]:
    """AdamW, and a timm scheduler that is advanced by ``step_update`` after each step."""
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, recipe.beta2)
    )
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=min(recipe.warmup_epochs, max(recipe.epochs - 1, 0)),
        warmup_lr=recipe.min_lr,
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    return optimizer, scheduler
