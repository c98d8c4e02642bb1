"""``timm-mergemix show``: mixes, merging, calibration and curves as pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import check_int, named, need, wrong
from ..merge.info import merge_info
from ..merge.patch import merging
from ..merge.schedule import R
from ..mix.batch import MixedBatch
from ..mixers.mergemix import MergeMix
from ..training.progress import Reporter
from ..training.seeds import seed_all
from ..tune.timing import interleave
from ..viz import confidence_by_ratio, learning_curves, merge_grid, mix_grid, reliability_diagram, schedule_plot
from .histories import history_in, is_history, read_all
from .options import make_directory
from .output import Output
from .pictures import save_figure
from .scene import Scene, class_folders, find_classes, find_images, load_scene, merges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GO_ON", "TYPED", "run"]

TYPED = {"images": "images"}
GO_ON = "Pictures that were finished are kept; draw again with"
ROUNDS = 5
BATCH = 32


def run(args: argparse.Namespace) -> None:
    """Draws the pictures and says where they are."""
    need("matplotlib.figure", "drawing", "viz")
    check_int("rows", args.rows, 1)
    check_int("count", args.count, 2)
    output = Output(args)
    given = [history_in(path) for path in args.images]
    histories = [path for path in given if is_history(path)]
    pictures = [path for path in given if not is_history(path)]
    what = list(dict.fromkeys(args.what or _fitting(pictures, histories, args.checkpoint)))
    curves = read_all(list(dict.fromkeys(histories)))
    if "curves" in what and not curves:
        raise wrong("images", [str(path) for path in pictures], "summary.csv or results.json, to draw curves")
    drawn: dict[str, Callable[[], Figure]] = {}
    grids, classifier = ([name for name in what if name in group] for group in (GRIDS, CLASSIFIER))
    if grids:
        scene = _grid_scene(args, pictures, grids, output.reporter)
        drawn |= {name: partial(DRAW[name], scene) for name in grids}
    if classifier:
        scene = load_scene(args, *find_classes(pictures, args.count), head=True)
        drawn |= {name: partial(DRAW[name], scene) for name in classifier}
    if "curves" in what:
        drawn["curves"] = partial(learning_curves, curves)
    written = _save(drawn, args.out, args.format, output.reporter)
    output.result(f"Wrote {', '.join(map(str, written))}.", {"written": written})


def _fitting(pictures: Sequence[Path], histories: Sequence[Path], checkpoint: Path | None) -> list[str]:
    """Returns the pictures that can be drawn from the input."""
    classifier = CLASSIFIER if checkpoint is not None and class_folders(pictures) else ()
    return [*(GRIDS if pictures else ()), *classifier, *(["curves"] if histories else ())]


def _save(drawn: dict[str, Callable[[], Figure]], out: Path, formats: Sequence[str], reporter: Reporter) -> list[Path]:
    figures = {}  # all are drawn before one is written, since an option may not fit one of them
    with reporter.bar("pictures", len(drawn), unit="picture") as bar:
        for name, draw in drawn.items():
            figures[name] = draw()
            bar.step()
    written, out = [], make_directory(out)
    for name, figure in figures.items():
        for suffix in dict.fromkeys(formats):
            written.append(save_figure(figure, out / f"{name}.{suffix}"))
    return written


def _grid_scene(args: argparse.Namespace, given: Sequence[Path], what: list[str], reporter: Reporter) -> Scene:
    paths = find_images(given)[: args.rows]
    if not paths:
        raise wrong("images", [str(path) for path in given], "images, to draw " + ", ".join(what))
    if len(paths) < 2 and "mix" in what:
        if what == ["mix"]:
            raise wrong("images", len(paths), "at least two, since a mix has two")
        what.remove("mix")
        reporter.say("One image: no mix is drawn.")
    scene = load_scene(args, paths, *_labels(given, paths), head=False)
    if not merges(scene.model) and "mix" in what and len(what) > 1:
        what[:] = ["mix"]
        reporter.say(f"The tokens of {args.model} cannot merge: only a mix is drawn, by its feature map.")
    return scene


def _labels(given: Sequence[Path], paths: Sequence[Path]) -> tuple[Sequence[int], list[str]]:
    """A label for each image, and the names of the labels: those of its folders, or else of the files."""
    folders = class_folders(given)
    if folders:
        return [folders.index(path.parent) for path in paths], [folder.name for folder in folders]
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [f"{path.parent.name}/{path.stem}" for path in paths]
    return range(len(paths)), names


def _mix(scene: Scene) -> Figure:
    return mix_grid(_mixed(scene), scene.names, scene.config["mean"], scene.config["std"], len(scene.images))


def _mixed(scene: Scene) -> MixedBatch:
    seed_all(scene.seed, 0)
    options = {"mergemix_prob": 1.0, "mode": "elem", "saliency_r": scene.r}
    with named(saliency_r="--r"):
        return MergeMix(scene.model, len(scene.names), **options).mix(scene.images, scene.labels)


def _merge(scene: Scene) -> Figure:
    statistics = {"mean": scene.config["mean"], "std": scene.config["std"]}
    return merge_grid(scene.model, scene.images, scene.r, rows=len(scene.images), **statistics)


def _schedule(scene: Scene) -> Figure:
    size, tokens, steps = (scene.images.shape[-2], scene.images.shape[-1]), {}, {}
    for name, r in (("unmerged", 0), (f"r = {scene.r}", scene.r)):
        with merging(scene.model, r):
            tokens[name] = merge_info(scene.model, size).tokens
        steps[name] = partial(_forward, scene, r)
    times = interleave(steps, ROUNDS, scene.images.device)
    return schedule_plot(tokens, {name: median(seconds) for name, seconds in times.items()})


def _forward(scene: Scene, r: R) -> None:
    with torch.inference_mode(), merging(scene.model, r):
        scene.model(scene.images)


def _reliability(scene: Scene) -> Figure:
    settings: dict[str, R] = {"unmerged": 0}
    if merges(scene.model):
        settings[f"r = {scene.r}"] = scene.r
    return reliability_diagram({name: (_probs(scene, scene.images, r), scene.labels) for name, r in settings.items()})


def _confidence(scene: Scene) -> Figure:
    order = torch.randperm(len(scene.images), generator=torch.Generator().manual_seed(scene.seed))
    shuffled = order.to(scene.images.device)  # else partners would be of two classes only
    batch = _mixed(replace(scene, images=scene.images[shuffled], labels=scene.labels[shuffled]))
    return confidence_by_ratio(batch, _probs(scene, batch.images, 0))


def _probs(scene: Scene, images: Tensor, r: R) -> Tensor:
    merged = merging(scene.model, r) if merges(scene.model) else nullcontext()
    with torch.inference_mode(), merged:
        return torch.cat([scene.model(part) for part in images.split(BATCH)]).float().softmax(dim=1)


GRIDS: dict[str, Callable[[Scene], Figure]] = {"mix": _mix, "merge": _merge, "schedule": _schedule}
CLASSIFIER: dict[str, Callable[[Scene], Figure]] = {"reliability": _reliability, "confidence": _confidence}
DRAW = GRIDS | CLASSIFIER
