"""The passes of preference training: recording the winner's call, and running the losers after it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .answers import AnswerLogp, answer_logp
from .batches import LABELS, Losers, PairedBatch

__all__ = ["WatchedCall", "image_token_of", "needs_pass", "no_losers", "run_losers"]


class WatchedCall:
    """Context manager that records the arguments and the output of a model's first call inside it.

    Args:
        model: The model, or its wrapper.

    Attributes:
        kwargs: The keyword arguments of the call.
        output: What the model returned; None before the call.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.kwargs: dict[str, Any] = {}
        self.output: Any = None

    def __enter__(self) -> WatchedCall:
        self._handle = self.model.register_forward_hook(self._keep, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()

    def _keep(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self.output is None:
            self.kwargs, self.output = kwargs, output


def image_token_of(model: nn.Module) -> int | None:
    """The token that stands for images in prompts, from the config of the model or of one inside it."""
    configs = (getattr(module, "config", None) for module in model.modules())
    return next((token for config in configs if (token := getattr(config, "image_token_id", None)) is not None), None)


def run_losers(model: nn.Module, losers: Losers, winner: WatchedCall | None = None) -> AnswerLogp:
    """Runs a model on losers, and returns the log-probabilities of their answers.

    Args:
        model: The model, or its wrapper. With DistributedDataParallel, the module inside it is called, so that the
            gradients of both passes are exchanged once, and buffers are not broadcast between a pass and its backward.
        losers: The losers.
        winner: The recorded call of the winner, whose remaining arguments are reused.
    """
    module: Any = model.module if isinstance(model, DistributedDataParallel) else model
    other = (
        {} if winner is None else {name: value for name, value in winner.kwargs.items() if name not in losers.inputs}
    )
    other.pop(LABELS, None)
    other.pop("num_items_in_batch", None)
    if getattr(getattr(winner, "output", None), "log_probs", None) is not None:  # a fused head, which needs labels
        other[LABELS] = losers.labels
    return answer_logp(module(**losers.inputs, **other), losers.labels)


def needs_pass(model: nn.Module) -> bool:
    """Whether all processes must run equally many passes, so that one without pairs needs a dummy pass."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return several and not isinstance(model, DistributedDataParallel)


def no_losers(paired: PairedBatch) -> Losers:
    """The clean images in place of losers, for a dummy pass; with ratio 1, none of them is a pair."""
    inputs = {name: value for name, value in paired.inputs.items() if name != LABELS}
    labels = paired.labels
    return Losers(
        inputs, labels, torch.arange(len(labels), device=labels.device), torch.ones(len(labels)).to(labels.device)
    )
