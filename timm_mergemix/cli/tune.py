"""``timm-mergemix tune``: the r that meets a budget."""

from __future__ import annotations

import argparse

import timm
import torch
from torch import Tensor, nn

from ..errors import MergeMixError, Words, check_int, named, unusable, wrong
from ..merge.find.support import check_name
from ..merge.schedule import as_typed
from ..training.model import build_model
from ..tune.search import Tuned, tune_r
from .device import choose_device, cpu_threads
from .output import Output
from .report import text_table
from .scene import class_folders, find_classes, find_images, load_classifier, model_arguments, prepare_images

__all__ = ["GO_ON", "TYPED", "run"]

TYPED = dict.fromkeys(("speedup", "tokens", "speedup, tokens"), "BUDGET")
GO_ON = "Nothing is kept of a search; start again with"


def run(args: argparse.Namespace) -> None:
    """Searches and prints what it found."""
    device = choose_device(args.device)
    check_int("count", args.count, 1)
    with cpu_threads(torch.get_num_threads() if args.threads is None else args.threads):
        _tune(args, device)


def _tune(args: argparse.Namespace, device: torch.device) -> None:
    output = Output(args)
    check_name("model", args.model)
    folders = [] if args.data is None else class_folders([args.data])
    model = _load(args, len(folders)).to(device)
    try:
        images, labels, note = _read(args, model, len(folders))
        images = None if images is None else images.to(device)
        labels = None if labels is None else labels.to(device)
        options = {"batch_size": args.batch_size, "rounds": args.rounds, "seconds": args.seconds}
        tuned = tune_r(model, **args.budget, images=images, labels=labels, report=output.reporter.say, **options)
    except MergeMixError:
        raise
    except Exception as error:  # whatever a model raises, for instance for a size that it does not take
        reason = f"{type(error).__name__}: {error}"
        raise unusable("model", f"{args.model} cannot be built, or does not run: {reason}") from error
    output.result(f"\n{_table(tuned)}{note}", [each._asdict() for each in tuned])


def _load(args: argparse.Namespace, classes: int) -> nn.Module:
    """The model, with the classes of a checkpoint or with those that timm gives it."""
    if args.checkpoint is not None:
        if not classes:
            got = Words("none") if args.data is None else args.data
            raise wrong("data", got, "a directory with one directory for each class of the model in --checkpoint")
        return load_classifier(args, classes)
    config = None if ":" in args.model else timm.get_pretrained_cfg(args.model.removeprefix("timm/"))
    own = 1000 if config is None else config.num_classes
    kwargs = model_arguments(args, args.weights)
    return build_model(args.model, own, pretrained=args.pretrained, img_size=args.img_size, kwargs=kwargs)


def _read(args: argparse.Namespace, model: nn.Module, classes: int) -> tuple[Tensor | None, Tensor | None, str]:
    """Images and labels where there are any, and what is to be said about the result."""
    random = not (args.pretrained or args.weights or args.checkpoint)
    has_head = bool(args.checkpoint or (args.pretrained and not args.weights))
    wanted = "--pretrained gives the model's own, --weights FILE those of a file"
    note = f"\nThe similarity is that of random weights; {wanted}." if random else ""
    if args.data is None:
        return None, None, f"{note}\nIt was measured on noise; --data DIR takes images."
    known = getattr(model, "num_classes", None)
    if classes and classes == known and has_head:
        paths, numbers, _ = find_classes([args.data], args.count)
        labels = torch.tensor(numbers)
    else:
        with named(images="data"):
            paths, labels = find_images([args.data])[: args.count], None
        if classes and not random:
            differ = f"the model has {known} classes and the directory {classes}"
            why = differ if has_head else "--weights leaves the head random"
            note += f"\nNo top-1: {why}; --checkpoint takes a model that was trained on them."
    images, _ = prepare_images(model, paths, args.img_size, "data")
    return images, labels, note


def _table(tuned: list[Tuned]) -> str:
    header = ["r", "throughput", "tokens left", "similarity of features"]
    rows = [[as_typed(t.r), f"{t.speedup:.2f}x", str(t.tokens[-1]), f"{t.similarity:.3f}"] for t in tuned]
    rows.insert(0, ["0 (unmerged)", "1.00x", str(tuned[0].tokens[0]), "1.000"])
    if tuned[0].top1 is not None:
        header.append("top-1")
        values = [tuned[0].top1_unmerged, *(each.top1 for each in tuned)]
        rows = [[*row, f"{100 * (value or 0):.1f} %"] for row, value in zip(rows, values, strict=True)]
    return text_table(header, rows)
