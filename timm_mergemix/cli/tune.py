"""``timm-mergemix tune``: the r that meets a budget."""

from __future__ import annotations

import argparse

import timm
import torch

from ..errors import MergeMixError, unusable
from ..merge.find.support import check_name
from ..tune.search import tune_r
from .device import choose_device, cpu_threads
from .output import Output
from .report import text_table

__all__ = ["GO_ON", "TYPED", "run"]

TYPED = dict.fromkeys(("speedup", "tokens", "speedup, tokens"), "BUDGET")
GO_ON = "Nothing is kept of a search; start again with"


def run(args: argparse.Namespace) -> None:
    """Searches and prints what it found."""
    device = choose_device(args.device)
    with cpu_threads(torch.get_num_threads() if args.threads is None else args.threads):
        _tune(args, device)


def _tune(args: argparse.Namespace, device: torch.device) -> None:
    size = {} if args.img_size is None else {"img_size": args.img_size}
    check_name("model", args.model)
    try:
        model = timm.create_model(args.model, pretrained=args.pretrained, **size).to(device)
        tuned = tune_r(model, **args.budget, batch_size=args.batch_size, rounds=args.rounds)
    except MergeMixError:
        raise
    except Exception as error:  # whatever a hub or a model raises, for instance for a size that it does not take
        reason = f"{type(error).__name__}: {error}"
        raise unusable("model", f"{args.model} cannot be built, or does not run: {reason}") from error
    header = ("r", "throughput", "tokens left", "similarity of features")
    rows = [[str(t.r), f"{t.speedup:.2f}x", str(t.tokens[-1]), f"{t.similarity:.3f}"] for t in tuned]
    note = "" if args.pretrained else "\nThe similarity is that of random weights; --pretrained gives the model's own."
    Output(args).result(text_table(header, rows) + note, [t._asdict() for t in tuned])
