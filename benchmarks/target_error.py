"""How wrong the targets of each way of mixing are: the share in the target against the share of the objects seen.

Clip art with known objects, placed large and small, mixed by every way that there is, with lambda drawn for each image.
Of each object a mix shows a part; seen of the original is its part over the parts of both objects. The error of a
target is how far its ratio is from that. Maps are those of DINOv2 ViT-S/14 as it was pretrained, half of the tokens
merged; nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.records import Record, Records
from benchmarks.study.clipart import read_cut_outs, render
from benchmarks.study.drawn import FromClipart
from benchmarks.study.memory import IMAGENET
from benchmarks.study.places import Places
from benchmarks.study.tasks import find_task
from benchmarks.study.truth import reweighed
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import installed, need
from timm_mergemix.mix.blends import BlendFunction, CutMixBlend, MixupBlend, ResizeMixBlend
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.mask import expand_mask
from timm_mergemix.mix.mergemix import MergeMixBlend
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.training.images import MemoryBatches

__all__ = ["GO_ON", "SUMMARY", "WAYS", "Objects", "Way", "add_arguments", "draw", "measure", "run", "table"]

SUMMARY = "Show how far the target of each way of mixing is from what is seen of two objects."
GO_ON = "Finished ways are kept; continue with"
TASKS = ("openclipart", "openclipart-small")
DRAWINGS, ROUNDS, BATCH, SEED = 600, 10, 100, 0
# Inches of the picture, so that letters of 10 points can be read at 800 pixels, and characters in a line of a label.
WIDTH, HEIGHT, LABEL = 8.0, 6.4, 26


@dataclass(frozen=True)
class Objects:
    """Objects that are known.

    Attributes:
        masks: (N, H, W) from 0 to 1.
        maps: (N, h, w), the attention of a model on the grid of its patches.
    """

    masks: Tensor
    maps: Tensor


@dataclass(frozen=True)
class Way:
    """A way of mixing, and of measuring its ratio.

    Attributes:
        blend: What mixes.
        by: The map that is handed to it: of the model (``"map"``), nothing (``"random"``), the true mask (``"truth"``),
            or the opposite of the first or the last (``"least"``, ``"ground"``).
        attention: Whether the ratio is the share of the model's attention that is seen, whatever the map was.
    """

    blend: BlendFunction
    by: str = "random"
    attention: bool = False


def _patches(**options: Any) -> MergeMixBlend:
    def nothing(images: Tensor) -> Tensor:
        raise NotImplementedError("every mix is given its map")

    return MergeMixBlend(nothing, MixConfig(**options))


WAYS: dict[str, Way] = {
    "Mixup": Way(MixupBlend(0.8)),
    "CutMix": Way(CutMixBlend()),
    "CutMix, ratio by attention": Way(CutMixBlend(), attention=True),
    "ResizeMix": Way(ResizeMixBlend()),
    "random patches": Way(_patches()),
    "random patches, ratio by attention": Way(_patches(), attention=True),
    "MergeMix": Way(_patches(), "map"),
    "MergeMix, ratio by attention": Way(_patches(ratio_mode="attention"), "map"),
    "MergeMix, published ratio": Way(_patches(ratio_mode="gaussian"), "map"),
    'MergeMix, `select="both"`': Way(_patches(select="both"), "map"),
    'MergeMix, `select="both"`, ratio by attention': Way(_patches(select="both", ratio_mode="attention"), "map"),
    "least salient patches": Way(_patches(), "least"),
    "oracle: the object's patches": Way(_patches(), "truth"),
    "oracle: most of both objects": Way(_patches(select="both"), "truth"),
    "oracle: the ground's patches": Way(_patches(), "ground"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files of weights and drawings."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/target_error"), metavar="DIR", help="where record and picture go")
    add("--weights", type=Path, metavar="FILE", help="the model's state dict; timm's if not given")
    add("--data-dir", type=Path, metavar="DIR", help="folders of drawings; those of Debian's package if not given")


def run(args: argparse.Namespace) -> None:
    """Measures what is missing, prints the tables, and draws the picture."""
    out = make_directory(args.out)
    records, places = Records(out / "target_error.jsonl", ("task", "way"), ("error",)), Places(args.weights)
    wanted = [((task, way), (task, way)) for task in TASKS for way in WAYS]
    found = records.run_missing(wanted, partial(_run, data=args.data_dir, places=places))
    for task in TASKS:
        own = [record for record in found if record["task"] == task]
        print(f"{find_task(task).title}\n\n{table(own)}\n")
    if installed("matplotlib"):
        print(f"Wrote {save_figure(draw(found), out / 'target_error.png', dpi=200)}.")


def _run(left: list[tuple[str, str]], data: Path | None, places: Places) -> Iterator[Record]:
    for task in dict.fromkeys(task for task, _ in left):
        objects = known_objects(task, data, places)
        for own, way in left:
            if own == task:
                yield {"task": task, "way": way, "drawings": len(objects.masks), **measure(WAYS[way], objects)}


def known_objects(task: str, data: Path | None, places: Places) -> Objects:
    """The first drawings of a task by their digests, and the maps of its model before it is trained."""
    set_up: Any = find_task(task).set_up
    drawings = read_cut_outs(data, round(set_up.placement.side * set_up.size))
    classes = tuple(dict.fromkeys(drawing.subject for drawing in drawings))
    first = sorted(drawings, key=lambda drawing: drawing.digest)[:DRAWINGS]
    images, masks = render(first, classes, set_up.size, set_up.placement)
    return Objects(masks[:, 0].float() / 255, _maps(set_up, MemoryBatches(images, BATCH, IMAGENET), places))


def _maps(set_up: FromClipart, batches: MemoryBatches, places: Places) -> Tensor:
    model = set_up.build(2, places).eval()
    return torch.cat([mm.saliency_map(model, images, r=("keep", 0.5)) for images, _ in batches])


def measure(way: Way, objects: Objects, rounds: int = ROUNDS) -> dict[str, Any]:
    """Means over mixes of random pairs: the error, also for thirds of the originals by size, and what is seen.

    Args:
        way: How pairs are mixed.
        objects: Their masks and maps.
        rounds: How often each object is the original.
    """
    generator = torch.Generator().manual_seed(SEED)
    mixer = Mixer([(way.blend, 1.0)], num_classes=2, mode="elem", label_smoothing=0.0, generator=generator)
    found, sizes = [], objects.masks.mean(dim=(1, 2))
    for _ in range(rounds):
        order = torch.randperm(len(sizes), generator=generator)
        for rows in order.split(BATCH):
            if len(rows) % 2 == 0:
                found.append(torch.cat([_mix(mixer, way, objects, rows), sizes[rows, None]], dim=1))
    target, own, partner, size = torch.cat(found).unbind(1)
    seen = own + partner > 0  # where nothing is seen of either, no target is right
    error = (target - own / (own + partner))[seen]
    limits = size.quantile(torch.tensor([1 / 3, 2 / 3]))
    thirds = torch.bucketize(size.contiguous(), limits)
    return {
        "error": error.abs().mean().item(),
        "bias": error.mean().item(),
        "thirds": [error[thirds[seen] == third].abs().mean().item() for third in range(3)],
        "limits": limits.tolist(),
        "original": own.mean().item(),
        "partner": partner.mean().item(),
        "nothing": 1 - seen.float().mean().item(),
    }


def _mix(mixer: Mixer, way: Way, objects: Objects, rows: Tensor) -> Tensor:
    """(B, 3): the ratio, and the parts that are seen of the original's and of the partner's object.

    The masks themselves are mixed, in place of colours: those of the first half of the batch as one channel, those of
    the other half, which are their partners, as another. So nothing is assumed of the mixer.
    """
    masks, half = objects.masks[rows], len(rows) // 2
    images = torch.zeros(len(rows), 2, *masks.shape[1:])
    images[:half, 0], images[half:, 1] = masks[:half], masks[half:]
    batch = mixer.mix(images, torch.arange(len(rows)) % 2, _map(way.by, masks, objects.maps[rows]))
    ratio = batch.ratio
    if way.attention:
        ratio = reweighed(batch, expand_mask(objects.maps[rows], *masks.shape[1:])[:, 0]).ratio
    whole, shown = masks.sum(dim=(1, 2)), batch.images.sum(dim=(2, 3))
    own = torch.cat([shown[:half, 0], shown[half:, 1]]) / whole
    partner = torch.cat([shown[:half, 1], shown[half:, 0]]) / whole[batch.index]
    return torch.stack([ratio, own, partner], dim=1)


def _map(by: str, masks: Tensor, maps: Tensor) -> Tensor:
    rows, columns = maps.shape[1:]
    cells = F.adaptive_avg_pool2d(masks, (rows, columns))
    truth = cells / cells.sum(dim=(1, 2), keepdim=True)  # each object counts as one
    return {
        "map": maps,
        "random": torch.ones_like(maps),
        "truth": truth,
        "least": maps.amax(dim=(1, 2), keepdim=True) - maps,
        "ground": 1 - cells,
    }[by]


def table(records: list[Record]) -> str:
    """The records of one task in Markdown."""
    low, high = (f"{100 * limit:.0f} %" for limit in records[0]["limits"])
    sizes = [f"object under {low}", f"{low} to {high}", f"over {high}"]
    header = ["mixes", "mean error", *sizes, "original's object seen", "partner's"]
    rows = []
    for record in records:
        values = [record["error"], *record["thirds"], record["original"], record["partner"]]
        rows.append([record["way"], *(f"{value:.2f}" for value in values)])
    return markdown_table(header, rows)


def draw(records: list[Record]) -> Any:
    """A matplotlib figure: for each task the error of each way, a dot for each third of the originals by size."""
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(record["task"] for record in records))
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True, sharex=True)[0]
    for axis, task in zip(axes, tasks, strict=True):
        own = [record for record in reversed(records) if record["task"] == task]
        places = range(len(own))
        axis.barh(places, [record["error"] for record in own], color="tab:orange", alpha=0.35, label="all")
        for third, (name, marker) in enumerate(zip(("small", "middle", "large"), "os^", strict=True)):
            values = [record["thirds"][third] for record in own]
            axis.plot(values, places, marker, markersize=5, label=f"{name} objects")
        names = [textwrap.fill(record["way"].replace("`", ""), LABEL) for record in own]
        axis.set_yticks(places, names, fontsize=10)
        axis.set_title(task, fontsize=10, loc="left")
        axis.grid(axis="x", linewidth=0.3)
    figure.supxlabel("mean difference between the target and the visible share of the objects", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=10, loc="outside upper center", ncols=4)
    return figure


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
