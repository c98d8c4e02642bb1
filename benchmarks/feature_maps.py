"""Which map of a feature map ranks objects over background best, in models whose tokens cannot merge.

A ResNet, a ConvNeXt and a Swin Transformer learn drawings with a known object. Then each map is measured on test
drawings by the area under the ROC curve: how often a pixel of the object ranks above a pixel of the ground. A map of
random numbers and one of the distance from the centre stand beside them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.command import main
from benchmarks.records import Record, Records
from benchmarks.study.clipart import read_cut_outs, render
from benchmarks.study.drawn import FromClipart, split_drawings
from benchmarks.study.memory import IMAGENET
from benchmarks.study.places import Places
from benchmarks.study.tasks import ANYWHERE, SMALL
from timm_mergemix.cli.device import cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.merge.find.feature_maps import FeatureMaps
from timm_mergemix.merge.schedule import parse, resolve
from timm_mergemix.saliency.feature_pass import STEPS
from timm_mergemix.saliency.maps import with_merged_cells
from timm_mergemix.training.images import MemoryBatches
from timm_mergemix.training.loop import Job, fit
from timm_mergemix.training.optim import Optimisation
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.seeds import seed_all

__all__ = [
    "GO_ON",
    "MODELS",
    "SUMMARY",
    "add_arguments",
    "area_under_curve",
    "maps_of",
    "records_in",
    "run",
    "table",
]

SUMMARY = "Measure which map of a ConvNet or a hierarchical transformer ranks objects over background best."
GO_ON = "Finished models are kept, an unfinished one continues from its last epoch; continue with"
SIZE, EACH, BATCH = 128, 60, 34
OPTIMISATION = Optimisation(epochs=30, warmup_epochs=3)
LAYERS = {-1: "last", -2: "second-to-last"}
USED = "distance from the mean"
PLACEMENTS = {"large": ANYWHERE, "small": SMALL}
# timm's name, arguments, and the learning rate.
MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    "ResNet": ("resnet10t", {}, 2e-3),
    "ConvNeXt": ("convnext_atto", {"drop_path_rate": 0.0}, 1e-3),
    "Swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": SIZE, "window_size": 4, "embed_dim": 48, "depths": (2, 2, 4, 2), "drop_path_rate": 0.0},
        5e-4,
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where records go, where the drawings are, and what is trained."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/feature-maps"), metavar="DIR", help="where records and weights go")
    add("--data-dir", type=Path, metavar="DIR", help="the drawings; by default those of Debian's package")
    add("--models", nargs="+", default=list(MODELS), choices=tuple(MODELS), help="which models")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="seeds of weights and training images")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(args: argparse.Namespace) -> None:
    """Trains and measures the models that are missing in the records, and prints the table."""
    out = make_directory(args.out)
    records = records_in(out / "feature_maps.jsonl")
    with cpu_threads(args.threads):
        for name in args.models:
            for seed in args.seeds:
                done = [record for record in records.read() if (record["model"], record["seed"]) == (name, seed)]
                if not done:
                    for record in list(_measure(name, seed, out, Places(data=args.data_dir))):
                        records.add(record)
    print(table(records.read()))


def records_in(path: Path) -> Records:
    """The measures in a file."""
    return Records(path, ("model", "seed", "objects", "layer", "map", "merged"), ("auc",))


def table(records: Sequence[Record]) -> str:
    """The area under the curve of each map in Markdown, means over seeds; a row for each feature map of each model."""
    kinds = [kind for kind in dict.fromkeys((each["map"], each["merged"]) for each in records) if _is_shown(*kind)]
    found: dict[tuple[str, ...], dict[tuple[str, bool], list[float]]] = {}
    for each in records:
        row = (each["model"], each["objects"], LAYERS[each["layer"]])
        found.setdefault(row, {}).setdefault((each["map"], each["merged"]), []).append(each["auc"])
    rows = [
        [*row, *(f"{statistics.mean(own[kind]):.2f}" if kind in own else "" for kind in kinds)]
        for row, own in found.items()
    ]
    titles = [name + (", half merged" if merged else "") for name, merged in kinds]
    return markdown_table(["model", "objects", "feature map", *titles], rows)


def _is_shown(name: str, merged: bool) -> bool:
    """Merging makes little difference, so it is shown for the map that is used."""
    return not merged or name == USED


def _measure(name: str, seed: int, out: Path, places: Places) -> Iterator[Record]:
    model, top1 = _trained(name, seed, out, places)
    encoder = FeatureMaps(model)
    for objects, placement in PLACEMENTS.items():
        drawings = read_cut_outs(places.data, round(placement.side * SIZE))
        classes = tuple(dict.fromkeys(drawing.subject for drawing in drawings))
        _, _, test = split_drawings(drawings, EACH, seed)
        images, masks = render(test, classes, SIZE, placement)
        batches = [batch for batch, _ in MemoryBatches(images, 100, IMAGENET)]
        parts = (masks[:, 0].float() / 255).split(100)
        for layer in LAYERS:
            areas: dict[tuple[str, bool], list[Tensor]] = {}
            for batch, part in zip(batches, parts, strict=True):
                for kind, maps in maps_of(encoder, batch, layer):
                    areas.setdefault(kind, []).append(area_under_curve(maps, part))
            for (title, merged), found in areas.items():
                known = {"model": name, "seed": seed, "objects": objects, "layer": layer, "map": title}
                yield {**known, "merged": merged, "auc": round(torch.cat(found).mean().item(), 4), "top1": top1}


def _trained(name: str, seed: int, out: Path, places: Places) -> tuple[nn.Module, float]:
    """A model after its training, and its top-1 on the validation drawings."""
    seed_all(seed, 0)
    setup = FromClipart(SIZE, ANYWHERE, EACH, BATCH, None)(seed, torch.device("cpu"), places)
    seed_all(seed, 0)
    architecture, options, lr = MODELS[name]
    model = timm.create_model(architecture, num_classes=setup.classes, **options)
    optimisation = replace(OPTIMISATION, lr=lr)
    settings = {"model": name, "seed": seed, **asdict(optimisation)}
    path = out / f"{name}-{seed}.pt"
    job = Job(f"{name}, seed {seed}", model, None, optimisation, settings, path, seed)
    fit(job, setup.train, setup.curve, Reporter())
    return model.eval(), job.history[-1]["val_top1"]


@torch.no_grad()
def maps_of(encoder: FeatureMaps, images: Tensor, layer: int) -> Iterator[tuple[tuple[str, bool], Tensor]]:
    """Each map (B, h, w) by its name and whether half of the cells were merged for it."""
    features = encoder.view().run(images, layer)
    cells = features.flatten(2).transpose(1, 2)
    mean = cells.mean(dim=1, keepdim=True)
    kinds = {
        "norm": cells.norm(dim=2),
        "product with the mean": (cells * mean).sum(dim=2),
        "cosine to the mean": F.cosine_similarity(cells, mean, dim=2),
        USED: (cells - mean).norm(dim=2),
    }
    if layer == -1:
        kinds["evidence for the predicted class"] = _evidence(encoder.model, features)
    for name, values in kinds.items():
        for merged in (False, True):
            merges = resolve(parse(("keep", 0.5), STEPS), values.shape[1]) if merged else ()
            yield (name, merged), with_merged_cells(values, cells, merges).unflatten(1, features.shape[2:])
    generator = torch.Generator().manual_seed(0)
    yield ("control: random", False), torch.rand(features[:, 0].shape, generator=generator)
    ys, xs = (torch.linspace(-1, 1, side) for side in features.shape[2:])
    centre = -(ys[:, None] ** 2 + xs**2)
    yield ("control: centre", False), centre.expand(len(images), -1, -1)


def _evidence(model: Any, features: Tensor) -> Tensor:
    """The logit that a cell alone gives to the class that the whole image is taken for, (B, N)."""
    channels_last = isinstance(model, timm.models.swin_transformer.SwinTransformer)
    order = (0, 2, 3, 1) if channels_last else (0, 1, 2, 3)
    predicted = model.forward_head(features.permute(order)).argmax(dim=1)
    single = features.permute(0, 2, 3, 1).flatten(0, 2)[:, :, None, None]
    logits = model.forward_head(single.permute(order)).unflatten(0, (len(features), -1))
    return logits.gather(2, predicted[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]


def area_under_curve(maps: Tensor, masks: Tensor) -> Tensor:
    """How often a pixel of the object ranks above one of the ground, ties as half; (B,).

    Args:
        maps: (B, h, w), constant within a cell.
        masks: (B, H, W) from 0 to 1, H and W being multiples of h and w.
    """
    values, (rows, columns) = maps.flatten(1).double(), maps.shape[1:]
    inside = F.adaptive_avg_pool2d(masks[:, None], (rows, columns)).flatten(1).double()
    above = (values[:, :, None] > values[:, None]).double() + 0.5 * (values[:, :, None] == values[:, None]).double()
    pairs = inside[:, :, None] * (1 - inside[:, None])
    return ((above * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))).float()


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
