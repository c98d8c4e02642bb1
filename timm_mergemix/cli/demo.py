"""``timm-mergemix demo``: a small ViT from scratch, with MergeMix and with timm's Mixup and CutMix."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..optional import need
from ..training.compare import Outcome, train_method
from ..training.methods import METHODS, PREFERENCE, DemoSettings
from ..training.sources import DemoData, draw_splits, find_source
from ..version import __version__
from .demo_pictures import Picture, draw_demo
from .options import add_common, again_with, choose_device, cpu_threads, make_directory
from .output import Output
from .page import html_page, html_paragraph, html_picture, html_table
from .report import markdown_table, text_table, write_json

__all__ = ["SUMMARY", "add_arguments", "again", "run"]

SUMMARY = "Train a small ViT on real images with MergeMix and with timm's Mixup+CutMix; a table and pictures."
HEADER = ("method", "top-1", "calibration error", "preference accuracy", "seconds per epoch", "patch tokens kept")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    defaults = DemoSettings()
    found = "Debian's Fashion-MNIST, a download of it, or scikit-learn's digits"
    data_help = f"an image folder (DIR/train and DIR/val, or DIR/CLASS) or Fashion-MNIST's idx files; else {found}"
    parser.add_argument("--data", type=Path, metavar="DIR", help=data_help)
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("demo"), help="where results go")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="epochs of each method")
    parser.add_argument("--train-size", type=int, default=2000, help="training images")
    parser.add_argument("--val-size", type=int, default=500, help="images for the learning curves, not trained on")
    parser.add_argument("--test-size", type=int, default=10000, help="most images for the final test")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="images per step")
    parser.add_argument("--lr", type=float, default=defaults.lr, help="peak learning rate")
    parser.add_argument("--width", type=int, default=defaults.width, help="channels of the ViT, a multiple of 32")
    parser.add_argument("--depth", type=int, default=defaults.depth, help="blocks of the ViT")
    parser.add_argument("--r", type=int, default=defaults.r, help="tokens merged in each block, for MergeMix")
    parser.add_argument(
        "--preference",
        type=float,
        nargs="?",
        const=defaults.preference,
        metavar="WEIGHT",
        help=f"also train MergeMix with the preference of the clean image over its mix; weight {defaults.preference}",
    )
    parser.add_argument("--report", action="store_true", help="also one HTML page with everything in it")
    # More threads make so small a model little faster, and many times slower where another program needs a core: idle
    # threads spin while they wait for the others.
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; one is enough for so small a model")
    add_common(parser)


def again(argv: Sequence[str]) -> str:
    """The command that goes on after an interruption."""
    return again_with(argv, without=["--fresh"])


def run(args: argparse.Namespace) -> None:
    """Trains, tests, writes pictures and prints the table."""
    with cpu_threads(args.threads):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    start = time.perf_counter()
    output = Output(args)
    reporter = output.reporter
    need("matplotlib.figure", "drawing", "demo")  # rather now than after the training
    names = ("epochs", "batch_size", "lr", "width", "depth", "r", "seed")
    given = {name: getattr(args, name) for name in names}
    if args.preference is not None:
        given["preference"] = args.preference
    settings = DemoSettings(**given)
    methods = METHODS if args.preference is None else (*METHODS, PREFERENCE)
    device = choose_device(args.device)
    source = find_source(args.data, reporter.say)
    data = draw_splits(source, args.train_size, args.val_size, args.test_size, args.seed)
    out = make_directory(args.out)
    data_line = _describe(data)
    reporter.say(data_line)
    outcomes = [train_method(method, data, settings, out, device, reporter, args.fresh) for method in methods]
    pictures = draw_demo(outcomes, data, settings.seed, device)
    written = [*_save(pictures, out), *_write(outcomes, data_line, settings, out)]
    if args.report:
        written.append(_report(pictures, outcomes, data_line, settings, out))
    head = f"{data_line}\n" if args.quiet else ""
    wrote = f"Wrote {', '.join(map(str, written))} in {time.perf_counter() - start:.0f} s."
    text = f"{head}\n{text_table(HEADER, _rows(outcomes))}\n\n{_notes(settings)}\n{wrote}"
    output.result(text, {**_results(outcomes, data_line, settings), "written": written})


def _describe(data: DemoData) -> str:
    source = data.source
    sizes = f"{len(data.train):,} training, {len(data.val):,} validation and {len(data.test):,} test images"
    return f"Data: {source.name} ({source.origin}): {sizes}, {len(source.classes)} classes."


def _rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    return [
        [
            outcome.method.title,
            f"{100 * outcome.test.top1:.1f} %",
            f"{outcome.test.calibration_error:.3f}",
            f"{100 * outcome.pairs.accuracy:.1f} %",
            f"{outcome.seconds_per_epoch:.1f}",
            outcome.tokens,
        ]
        for outcome in outcomes
    ]


def _notes(settings: DemoSettings) -> str:
    return (
        f"Test images, unmixed, after the last epoch; one seed ({settings.seed}); calibration error of 15 bins.\n"
        "Half of the batches are mixed, by MergeMix in turn with Mixup, or by timm's Mixup and CutMix.\n"
        "Preference accuracy: how often a test image makes its class more probable than its CutMix mix does.\n"
        f"MergeMix merges {settings.r} tokens in each block, in training and in the test alike. Seconds are those of\n"
        "training, the median epoch. MergeMix's include its saliency passes; merging wins time back, though little\n"
        "in so small a model."
    )


def _save(pictures: Sequence[Picture], out: Path) -> list[Path]:
    for picture in pictures:
        picture.figure.savefig(out / f"{picture.name}.png")
    return [out / f"{picture.name}.png" for picture in pictures]


def _report(
    pictures: Sequence[Picture], outcomes: Sequence[Outcome], data_line: str, settings: DemoSettings, out: Path
) -> Path:
    """One page with everything in it, to be kept or sent."""
    values = ", ".join(f"{name} {value}" for name, value in asdict(settings).items())
    body = [
        html_paragraph(data_line),
        html_table(HEADER, _rows(outcomes)),
        html_paragraph(_notes(settings)),
        *(html_picture(picture.figure, picture.heading, picture.caption) for picture in pictures),
        html_paragraph(f"timm-mergemix {__version__}. Settings: {values}."),
    ]
    path = out / "report.html"
    path.write_text(html_page("MergeMix, a demonstration", body), encoding="utf-8")
    return path


def _results(outcomes: Sequence[Outcome], data_line: str, settings: DemoSettings) -> dict[str, Any]:
    methods = {
        outcome.method.name: {
            "title": outcome.method.title,
            "top1": outcome.test.top1,
            "calibration_error": outcome.test.calibration_error,
            "test_loss": outcome.test.loss,
            "pairs": asdict(outcome.pairs),
            "seconds_per_epoch": outcome.seconds_per_epoch,
            "patch_tokens_kept": outcome.tokens,
            "history": outcome.history,
        }
        for outcome in outcomes
    }
    return {"data": data_line, "settings": asdict(settings), "methods": methods}


def _write(outcomes: Sequence[Outcome], data_line: str, settings: DemoSettings, out: Path) -> list[Path]:
    markdown = out / "results.md"
    markdown.write_text(f"{markdown_table(HEADER, _rows(outcomes))}\n\n{_notes(settings)}\n", encoding="utf-8")
    return [write_json(out / "results.json", _results(outcomes, data_line, settings)), markdown]
