"""Records of a GPU -> tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from timm_mergemix.cli.report import markdown_table

from ..records import Record

__all__ = ["markdown"]

TIMED = ("inference", "training", "mixing", "mixing step")
TITLES = {
    "inference": "Inference in bfloat16",
    "training": "Training steps under bfloat16 autocast",
    "mixing": "Mixing alone, over timm's Mixup",
    "mixing step": "Mixing and a training step, over timm's Mixup on the unpatched model",
    "accuracy": "Largest error of attention with a bias, against float64",
    "count": "Kernels and waits, counted on the meta device",
    "tests": "Tests of the suite that need CUDA",
}
TIMES = ("setting", "step", "ms", "images / s", "ratio to the first (95 %)", "peak MiB beyond what is kept")


def markdown(records: Sequence[Record], machine: dict[str, Any]) -> str:
    """All tables of a machine's records."""
    parts = [", ".join(f"{name} {value}" for name, value in machine.items())]
    for kind, title in TITLES.items():
        found = [record for record in records if record["kind"] == kind]
        if found:
            header, row = TABLES.get(kind, (TIMES, _times))
            parts += [f"## {title}", markdown_table(header, [row(record) for record in found])]
    return "\n\n".join(parts) + "\n"


def _times(record: Record) -> list[str]:
    name = [record["row"], record["arm"]]
    if "error" in record:
        return [*name, record["error"], "", "", ""]
    ratio, peak = record["ratio"], record["peak_bytes"]
    shown = "" if ratio is None else f"{ratio[0]:.3f} ({ratio[1]:.3f} to {ratio[2]:.3f})"
    numbers = [f"{1e3 * record['seconds']:.3g}", f"{record['images_per_second']:.0f}"]
    return [*name, *numbers, shown, "" if peak is None else f"{peak / 2**20:.0f}"]


def _accuracy(record: Record) -> list[str]:
    return [record["row"], record["arm"], f"{record['error']:.1e}"]


def _counted(record: Record) -> list[str]:
    return [record["row"], *(str(record[name]) for name in ("kernels", "synchronisations", "copies"))]


def _tests(record: Record) -> list[str]:
    return [record["row"], record["outcome"], record["summary"]]


TABLES: dict[str, tuple[Sequence[str], Callable[[Record], list[str]]]] = {
    "accuracy": (("inputs", "bias", "largest error"), _accuracy),
    "count": (("part", "kernels", "waits", "copies to the device"), _counted),
    "tests": (("tests", "outcome", "summary"), _tests),
}
