"""The report of a benchmark: the table of results, and a description of the machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision

from timm_mergemix.version import __version__

from .measure import Result

__all__ = ["HEADER", "machine", "rows_of"]

HEADER = ("what", "ratio", "95 % interval", "wanted", "reached")


def rows_of(results: Sequence[Result]) -> list[list[str]]:
    """Returns the table with one line per comparison."""
    return [_row(result) for result in results]


def _row(result: Result) -> list[str]:
    name = f"{result.row}: {result.above} / {result.below}"
    interval = "" if result.unit == "bytes" else f"{result.ratio.low:.3f} to {result.ratio.high:.3f}"
    wanted = "" if result.wanted is None else f"<= {result.wanted:.3g}"
    reached = {None: "", True: "yes", False: "no"}[result.reached]
    return [name, f"{result.ratio.value:.3f}", interval, wanted, reached]


def machine(device: torch.device) -> dict[str, Any]:
    """Describes the machine and the versions of the software."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}, {name}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "timm_mergemix": __version__,
    }


def _processor() -> str:
    """Returns the name of the processor, or of its architecture if the system does not tell."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())
