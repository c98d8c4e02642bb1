"""``timm-mergemix models``: which models can be patched, how they merge, and why the others are refused."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import timm

from ..errors import wrong
from ..merge.find.support import Support, like, supported
from ..training.progress import Reporter
from .report import text_table

__all__ = ["GO_ON", "look_at", "quiet_timm", "run"]

GO_ON = "Models were only looked at; start again with"


def run(args: argparse.Namespace) -> None:
    """Inspects the models and prints the report that the options ask for."""
    names = _names(args.filter)
    reports = look_at(names, Reporter(progress=args.progress))
    if args.json:
        _print_json(reports, args.refused)
    else:
        _print_table(list(reports), args.refused, args.filter)


def _names(pattern: str | None) -> list[str]:
    names = timm.list_models(pattern or "")
    if not names or pattern == "":  # an empty pattern is a variable that was not set, hardly a wish for all models
        plain = (pattern or "").strip("*")
        wider = f", such as '*{plain}*'" if plain and timm.list_models(f"*{plain}*") else like(plain)
        raise wrong("filter", pattern, f"a pattern that fits names of timm models{wider}")
    return names


def look_at(names: Sequence[str], reporter: Reporter) -> Iterator[Support]:
    """Yields the report of `supported` on each model."""
    with quiet_timm(), reporter.bar("models", len(names), unit="model") as bar:
        for name in names:
            yield supported(name)
            bar.step()


@contextmanager
def quiet_timm() -> Iterator[None]:
    """Hides warnings about models that are built only to be inspected."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _print_json(reports: Iterator[Support], refused: bool) -> None:
    for report in reports:
        if not (refused and report):
            values = asdict(report) | {"classes": dict(report.classes)}
            print(json.dumps(values), flush=True)


def _print_table(reports: list[Support], refused: bool, pattern: str | None) -> None:
    refused = refused or not any(reports)  # where none is supported, the reasons are the answer
    chosen = [report for report in reports if bool(report) != refused]
    kind = "reason" if refused else "family"
    groups = Counter(getattr(report, kind) for report in chosen)
    if refused:
        header: tuple[str, ...] = ("model", "MergeMix reads", "why it cannot be patched")
        rows: list[tuple[str, ...]] = [
            (report.name, report.reads or "nothing", str(report.reason)) for report in chosen
        ]
    else:
        ordered = sorted(chosen, key=lambda report: -groups[report.family])  # stable: names stay in timm's order
        header = ("model", "merges in", "family")
        rows = [(report.name, report.merges, str(report.family)) for report in ordered]
    if chosen:
        print(text_table(header, rows, numbers=False), end="\n\n")
        print(text_table((kind, "models"), [(name, str(count)) for name, count in groups.most_common()]), end="\n\n")
    verb = "are not supported" if refused else "are supported"
    more = "" if refused or len(chosen) == len(reports) else "; --refused lists the others"
    read = sum(bool(report.strides) for report in chosen)
    if read:
        more = f"; MergeMix reads the feature maps of {read:,} of them"
    models, share = f"models of timm {timm.__version__}", f"{len(chosen):,} of {len(reports):,}"
    if pattern is None:
        print(f"{share} {models} {verb}{more}.")
    else:
        print(f"Of the {models} whose name fits {pattern!r}, {share} {verb}{more}.")
