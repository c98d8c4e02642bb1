"""``timm-mergemix tune``: the r that meets a budget."""

from __future__ import annotations

import argparse
from typing import Any

import timm
import torch

from ..errors import MergeMixError, unusable, wrong
from ..merge.find.support import check_name
from ..tune.search import tune_r
from .options import choose_device, cpu_threads
from .output import Output, add_output
from .report import text_table

__all__ = ["GO_ON", "SUMMARY", "TYPED", "add_arguments", "run"]

SUMMARY = "Find the token merging that meets a throughput or a number of tokens."
TYPED = dict.fromkeys(("speedup", "tokens", "speedup, tokens"), "budget")
GO_ON = "Nothing is kept of a search; start again with"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add(
        "target", metavar="BUDGET", help="throughput over that of the unmerged model, such as 2.0x; or 99 (tokens left)"
    )
    add("--model", default="deit_small_patch16_224", metavar="NAME", help="a timm model")
    add("--pretrained", action="store_true", help="with timm's weights, so that the similarity means something")
    add("--img-size", type=int, metavar="PIXELS", help="side of the images; the model's own if not given")
    add("--batch-size", type=int, default=8, help="images a step")
    add("--rounds", type=int, default=15, help="interleaved rounds behind each throughput")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU where there is one")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    add_output(parser)


def run(args: argparse.Namespace) -> None:
    """Searches and prints what it found."""
    device, budget = choose_device(args.device), _budget(args.target)
    with cpu_threads(args.threads):
        _tune(args, device, budget)


def _tune(args: argparse.Namespace, device: torch.device, budget: dict[str, Any]) -> None:
    size = {} if args.img_size is None else {"img_size": args.img_size}
    check_name("model", args.model)
    try:
        model = timm.create_model(args.model, pretrained=args.pretrained, **size).to(device)
        tuned = tune_r(model, **budget, batch_size=args.batch_size, rounds=args.rounds)
    except MergeMixError:
        raise
    except Exception as error:  # whatever a hub or a model raises, for instance for a size that it does not take
        reason = f"{type(error).__name__}: {error}"
        raise unusable("model", f"{args.model} cannot be built, or does not run: {reason}") from error
    header = ("r", "throughput", "tokens left", "similarity of features")
    rows = [[str(t.r), f"{t.speedup:.2f}x", str(t.tokens[-1]), f"{t.similarity:.3f}"] for t in tuned]
    note = "" if args.pretrained else "\nThe similarity is that of random weights; --pretrained gives the model's own."
    Output(args).result(text_table(header, rows) + note, [t._asdict() for t in tuned])


def _budget(target: str) -> dict[str, Any]:
    try:
        return {"speedup": float(target[:-1])} if target.endswith("x") else {"tokens": int(target)}
    except ValueError:
        pass
    raise wrong("budget", target, "a throughput such as 2.0x, or a number of tokens such as 99")
