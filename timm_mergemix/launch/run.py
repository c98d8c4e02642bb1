"""The state that the hooks of one run share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.utils.distributed import world_info_from_env
from torch import nn

from ..errors import MergeMixError, named, unusable
from ..merge.families import Backbone
from ..mix.mixer import Mixer
from .request import Request

__all__ = ["Run", "naming", "rank"]


@dataclass
class Run:
    """The state that the hooks of one run share.

    Attributes:
        training: Whether the script trains.
        request: What is asked for; there once the script has parsed its arguments.
        model: The first model that the script made, below every wrapper.
        backbone: What merges in that model; None if nothing does.
        encoder: Another model, whose attention is read; None if there is none.
        mixer: Mixes the batches; None if the script does so itself, or if nothing is mixed.
    """

    training: bool
    request: Request = field(init=False)
    model: Any = None
    backbone: Backbone | None = None
    encoder: nn.Module | None = None
    mixer: Mixer | None = None


def rank() -> int:
    """Returns the rank of this process. The process of rank 0 writes the log."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return world_info_from_env()[1]  # before the script has set up its processes


@contextmanager
def naming(flag: str, **flags: str) -> Iterator[None]:
    """Renames an error's argument to its flag in ``flags``; any other error is reported under ``flag``."""
    try:
        with named(**flags):
            yield
    except MergeMixError as error:
        if error.argument in flags.values():
            raise
        raise unusable(flag, error) from error
