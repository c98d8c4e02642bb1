"""Settings of the optimisation, for training and for command lines, which need no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, integer, number, option

__all__ = ["Optimisation"]


@dataclass(frozen=True)
class Optimisation(Config):
    """Settings of the optimisation."""

    epochs: int = option(100, "length of the run, including the warm-up", integer(1), read=int)
    lr: float = option(1e-3, "peak learning rate of AdamW", number(0), read=float)
    weight_decay: float = option(0.05, "weight decay, except of biases and norms", number(0), read=float)
    warmup_epochs: int = option(5, "epochs of linear warm-up", number(0), flag="--warmup", read=int, metavar="EPOCHS")
    min_lr: float = option(1e-5, "learning rate at the end of the cosine", number(0), read=float)
    beta2: float = option(0.999, "AdamW's second coefficient; a short run needs a smaller one", number(0, 1), flag="")
    clip_grad: float | None = option(
        5.0, "largest norm of the gradient; 0: no limit", number(0), read=float, metavar="NORM", optional=True
    )
    smoothing: float = option(0.1, "label smoothing where nothing is mixed", number(0, 1), flag="")
