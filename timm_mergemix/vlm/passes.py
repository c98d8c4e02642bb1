"""The passes of preference training: what the winner's call returned, and the loser's after it."""

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
    """Keeps the first call of a model, while the context is open: its arguments and what it returned.

    Args:
        model: The model, or whatever wraps it.

    Attributes:
        kwargs: The arguments.
        output: What came back; None before the call.
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
    """The log-probabilities of the answers for losers.

    Args:
        model: The model, or whatever wraps it. Inside DistributedDataParallel the model itself runs: the gradients of
            both passes are exchanged once, and buffers are not sent again between a pass and its backward.
        losers: What it runs on.
        winner: The winner's call, whose other arguments are those of this one.
    """
    module: Any = model.module if isinstance(model, DistributedDataParallel) else model
    other = (
        {} if winner is None else {name: value for name, value in winner.kwargs.items() if name not in losers.inputs}
    )
    other.pop(LABELS, None)
    other.pop("num_items_in_batch", None)
    if getattr(getattr(winner, "output", None), "log_probs", None) is not None:  # a head that computes nothing else
        other[LABELS] = losers.labels
    return answer_logp(module(**losers.inputs, **other), losers.labels)


def needs_pass(model: nn.Module) -> bool:
    """Whether each process has to run as many passes as the others, so that one without pairs runs one for nothing."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return several and not isinstance(model, DistributedDataParallel)


def no_losers(paired: PairedBatch) -> Losers:
    """The clean images in place of losers, none of which is a pair."""
    inputs = {name: value for name, value in paired.inputs.items() if name != LABELS}
    labels = paired.labels
    return Losers(
        inputs, labels, torch.arange(len(labels), device=labels.device), torch.ones(len(labels)).to(labels.device)
    )
