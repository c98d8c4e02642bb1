"""Which rows there are, and how one is measured."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from timm_mergemix.errors import MergeMixError
from timm_mergemix.tune.timing import Step, interleave, ratio_of

from ..records import Record
from .steps import ARMS, MIXERS, Model, arm, batch_of, infer, mix, train

__all__ = ["GPU", "SMOKE", "Grid", "Row", "measure", "rows_of"]


class Grid(NamedTuple):
    """What is measured.

    Attributes:
        models: On which models.
        batches: With how many images a step.
        compiled: With how many images the models are compiled too, which takes most of the time.
        captures: Whether steps are captured as CUDA graphs.
    """

    models: tuple[Model, ...]
    batches: tuple[int, ...]
    compiled: tuple[int, ...]
    captures: bool


GPU = Grid(
    (
        Model("vit_base_patch16_224", 224, 13),
        Model("vit_base_patch14_dinov2", 518, 90),
        Model("vit_so400m_patch14_siglip_384", 384, 23),
    ),
    (1, 32, 256),
    (32,),
    True,
)
SMOKE = Grid((Model("vit_tiny_patch16_224", 64, 2, (("depth", 2),)),), (2,), (), False)


class Row(NamedTuple):
    """Steps that are measured in turn.

    Attributes:
        kind: ``"inference"``, ``"training"``, ``"mixing"`` or ``"mixing step"``.
        model: On which model.
        batch: Images a step.
        way: ``"eager"``, ``"compiled"``, ``"graphs"`` (``mode="reduce-overhead"``) or ``"captured"``.
        arms: Names of the steps; the first one is what the others are compared with.
    """

    kind: str
    model: Model
    batch: int
    way: str
    arms: tuple[str, ...]

    @property
    def name(self) -> str:
        """The row in words."""
        return f"{self.model.name}, {self.model.size} px, r={self.model.r}, batch {self.batch}, {self.way}"


def rows_of(grid: Grid, published: Path | None) -> Iterator[Row]:
    """All rows of a grid, the cheap ones of a model first."""
    arms = ARMS if published is not None else ARMS[:3]
    for model in grid.models:
        for batch in grid.batches:
            ways = ["eager", *["captured"] * grid.captures]
            yield from (Row("inference", model, batch, way, arms) for way in ways)
            yield Row("training", model, batch, "eager", arms)
            yield from (Row(kind, model, batch, "eager", MIXERS) for kind in ("mixing", "mixing step"))
        for batch in grid.compiled:
            yield from (Row(kind, model, batch, "compiled", arms[:3]) for kind in ("inference", "training"))
            yield Row("inference", model, batch, "graphs", arms[:3])


def measure(row: Row, device: torch.device, published: Path | None, rounds: int, seconds: float) -> Iterator[Record]:
    """A record for each arm of a row. One that cannot run says why."""
    torch.compiler.reset()
    images, labels = batch_of(row.model, row.batch, device)
    steps: dict[str, Step] = {}
    failed: dict[str, str] = {}
    peaks: dict[str, int | None] = {}
    for name in row.arms:
        make = partial(_make, row, name, images, labels, published)
        try:
            steps[name] = make()
            peaks[name] = _peak(steps[name], device)
        except (MergeMixError, RuntimeError) as error:  # memory that is too small is a RuntimeError too
            steps.pop(name, None)
            failed[name] = (str(error).splitlines() or [type(error).__name__])[0]
    times = interleave(steps, rounds, device, seconds) if steps else {}
    steps.clear()
    _forget(device)
    for name in row.arms:
        yield {"kind": row.kind, "row": row.name, "arm": name, **_result(row, name, times, peaks, failed)}


def _make(row: Row, name: str, images: Any, labels: Any, published: Path | None) -> Step:
    model = arm(name, row.model, images.device, published)
    if row.kind == "inference":
        return infer(name, model, images, row.way)
    if row.kind == "training":
        return train(name, model, images, labels, row.way)
    return mix(name, model, images, labels, whole=row.kind == "mixing step")


def _result(row: Row, name: str, times: Any, peaks: Any, failed: Any) -> dict[str, Any]:
    if name in failed:
        return {"error": failed[name]}
    median, base = statistics.median(times[name]), row.arms[0]
    ratio = list(ratio_of(times[name], times[base])) if base in times else None
    return {"seconds": median, "images_per_second": row.batch / median, "ratio": ratio, "peak_bytes": peaks[name]}


def _peak(step: Step, device: torch.device) -> int | None:
    """Bytes that a step needs beyond what was there, after a first run; None where nobody counts them."""
    step()
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _forget(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
