"""``python -m benchmarks.gpu``: what merging and mixing cost on a GPU."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.output import Output, add_output
from timm_mergemix.cli.report import write_json
from timm_mergemix.errors import unusable
from timm_mergemix.files.writing import write_file

from ..records import Record, Records
from ..speed.report import machine
from .counts import count_all
from .folded import accuracy
from .report import markdown
from .rows import GPU, SMOKE, Row, measure, rows_of
from .suite import run_tests

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Measure merging and mixing on one NVIDIA GPU, with random weights; a few minutes."
GO_ON = "Finished rows are kept; continue with"
PARTS = ("count", "accuracy", "tests", "rows")
NEEDED = (
    "no CUDA device was found; this program needs one NVIDIA GPU that computes in bfloat16 (Ampere or newer), and "
    "rows that do not fit into its memory say so. --parts count accuracy needs none, and --smoke runs a tiny setting "
    "of the rest on the CPU"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the program."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("bench-gpu"), metavar="DIR", help="where records, JSON and Markdown go")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured")
    add("--filter", default="", metavar="TEXT", help="only rows whose kind and name hold TEXT")
    add("--published", type=Path, metavar="DIR", help="clone of facebookresearch/ToMe, to be measured beside")
    add("--rounds", type=int, default=10, metavar="N", help="rounds of each row, at least")
    add("--seconds", type=float, default=1.0, metavar="S", help="seconds of each row, at least")
    add("--smoke", action="store_true", help="a tiny setting, which runs on the CPU too; its figures mean nothing")
    add_output(parser)


class Job(NamedTuple):
    """What is run at once.

    Attributes:
        part: One of `PARTS`.
        row: The row, if that is one.
    """

    part: str
    row: Row | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What its records are told apart by, beside the machine."""
        return (self.part, "") if self.row is None else (self.row.kind, self.row.name)


def run(args: argparse.Namespace) -> None:
    """Measures what is missing, prints the tables, and writes them with JSON."""
    needs_gpu = not args.smoke and {"tests", "rows"} & set(args.parts)
    if needs_gpu and not torch.cuda.is_available():
        raise unusable("device", NEEDED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts, out, output = machine(device) | {"smoke": args.smoke}, make_directory(args.out), Output(args)
    records = Records(out / "gpu.jsonl", ("job", "machine"), ("records",))
    wanted = [((list(job.key), facts), job) for job in jobs(args)]

    def run_jobs(missing: list[Job]) -> Iterator[Record]:
        for job in missing:
            output.reporter.say(" ".join(job.key).strip())
            yield {"job": list(job.key), "machine": facts, "records": list(_run(job, args, device))}

    found = [record for kept in records.run_missing(wanted, run_jobs) for record in kept["records"]]
    text = markdown(found, facts)
    values: dict[str, Any] = {"machine": facts, "records": found}
    written = [write_file(out / "gpu.md", text), write_json(out / "gpu.json", values)]
    output.result(f"{text}\nWrote {', '.join(map(str, written))}.", {**values, "written": written})


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """All that is asked for, the cheapest first."""
    yield from (Job(part) for part in PARTS[:3] if part in args.parts and not (part == "tests" and args.smoke))
    if "rows" in args.parts:
        rows = rows_of(SMOKE if args.smoke else GPU, args.published)
        yield from (Job("rows", row) for row in rows if args.filter in f"{row.kind}, {row.name}")


def _run(job: Job, args: argparse.Namespace, device: torch.device) -> Iterator[Record]:
    if job.row is not None:
        yield from measure(job.row, device, args.published, args.rounds, args.seconds)
    elif job.part == "tests":
        yield run_tests()
    else:
        yield from count_all() if job.part == "count" else accuracy(device)
