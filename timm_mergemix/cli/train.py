"""``timm-mergemix train``: any timm model on a person's own image folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from ..errors import Words, installed, unusable, wrong
from ..launch.log import describe_preference
from ..mix.mixer import Mixer
from ..training.evaluate import Evaluation, evaluate
from ..training.folder import FolderSplits, digest_of, find_folder
from ..training.loaders import Loaders, folder_loaders
from ..training.loop import Job, fit
from ..training.mixers import Mix, build_mixer, describe_mixing
from ..training.model import build_model, describe_tokens, train_merged
from ..training.objective import build_objective
from ..training.seeds import seed_all
from ..viz import learning_curves, mix_grid
from .device import choose_device
from .options import make_directory
from .output import Output
from .pictures import save_figure
from .report import text_table, write_json
from .scene import model_arguments
from .train_options import FLAGS, Chosen, choose

__all__ = ["AGAIN", "TYPED", "run"]

AGAIN = {"without": ["--fresh"], "plus": ["--resume"]}
TYPED = FLAGS
HEADER = ("model, mixer", "top-1", "calibration error", "seconds per epoch", "images per second")
CHECKPOINT = "last.pt"
BEST = "best.pt"
# Options that do not affect what is learnt, so that a resumed run may change them. The name of a recipe is one of them,
# since its values are compared instead: another release may have other values.
INDECISIVE = {"command", "data", "out", "device", "resume", "fresh", "quiet", "json", "progress", "mergemix_recipe"}


def run(args: argparse.Namespace) -> None:
    """Trains, evaluates, and writes checkpoints, results and pictures."""
    output = Output(args)
    reporter = output.reporter
    splits = find_folder(args.data)
    out = args.out or Path("runs") / f"{args.model.replace('/', '_')}-{args.mixer}"
    _check_earlier_run(out, args)
    chosen = choose(args)
    job, loaders = _prepare(args, chosen, splits, out)
    make_directory(out)
    if args.resume and not job.path.exists():
        reporter.say(f"{out} has no finished epoch to continue from; a new run starts.")
    for line in _describe(args, chosen, splits, job, loaders):
        reporter.say(line)
    fit(job, loaders.train, loaders.val, reporter, args.fresh)
    result = evaluate(job.model, loaders.val, job.device, amp=job.amp)
    best = max(job.history, key=lambda record: record["val_top1"])  # the first one of equals
    details = {"settings": job.settings, "result": asdict(result), "best_epoch": best["epoch"], "history": job.history}
    written = [*_checkpoints(job), write_json(out / "results.json", details)]
    if installed("matplotlib"):
        # What is drawn is mixed for sure, and by MergeMix if the mixer may.
        shown = {name: 1.0 if name in ("prob", "mergemix_prob") else value for name, value in chosen.mixing.items()}
        mixer = build_mixer(args.mixer, job.model, len(splits.classes), shown)
        written += _draw(job, mixer, loaders, splits, out)
    else:
        reporter.say('No pictures: they need matplotlib, pip install "timm-mergemix[viz]".')
    text, data = _summary(job, loaders, result, best)
    output.result(f"\n{text}\nWrote {', '.join(map(str, written))}.", {**data, "written": written})


def _summary(job: Job, loaders: Loaders, result: Evaluation, best: Mapping[str, float]) -> tuple[str, dict[str, Any]]:
    """The table of a run and what is said below it, for people and as plain values."""
    seconds = median(record["seconds"] for record in job.history)
    rate = len(loaders.train) * (loaders.train.batch_size or 1) / seconds
    cells = [f"{100 * result.top1:.1f} %", f"{result.calibration_error:.3f}", f"{seconds:.1f}", f"{rate:.0f}"]
    epoch, top1 = int(best["epoch"]), f"{100 * best['val_top1']:.1f} %"
    below = f"Validation images after the last epoch. The best of {len(job.history)} epochs is {epoch}: top-1 {top1}."
    data = {"result": asdict(result), "best_epoch": epoch, "seconds_per_epoch": seconds, "images_per_second": rate}
    return f"{text_table(HEADER, [[job.title, *cells]])}\n\n{below}", data


def _describe(args: argparse.Namespace, chosen: Chosen, splits: FolderSplits, job: Job, loaders: Loaders) -> list[str]:
    """What is trained, and how, before the first epoch."""
    sizes = f"{len(splits.train):,} training and {len(splits.val):,} validation images"
    lines = [
        f"Data: {args.data}: {sizes}, {len(splits.classes)} classes; {splits.how}.",
        describe_tokens(job.model, chosen.merging.r, loaders.size),
        describe_mixing(args.mixer, chosen.mixing),
    ]
    if isinstance(job.mixer, Mixer) and job.preference.weight > 0:
        lines.append(f"{describe_preference(job.mixer, job.preference.weight)}.")
    return lines


def _checkpoints(job: Job) -> list[Path]:
    return [path for path in (job.path, job.best) if path is not None and path.exists()]


def _check_earlier_run(out: Path, args: argparse.Namespace) -> None:
    if args.resume and args.fresh:
        raise wrong("resume", Words("--resume and --fresh"), "only one of them")
    if (out / CHECKPOINT).exists() and not args.resume and not args.fresh:
        wanted = "--resume to continue it, --fresh to start over, or another --out"
        raise unusable("out", f"{out} contains a run already, wanted {wanted}")
    if args.resume and not (out / CHECKPOINT).exists() and not _has_begun(out):
        reason = f"has no {CHECKPOINT}" if out.is_dir() else "is not a directory"
        raise unusable("out", f"{out} {reason}, wanted the directory of a run to continue, or no --resume")


def _has_begun(out: Path) -> bool:
    """Whether it is such a directory as a run leaves that is stopped before its first epoch is saved.

    That is an empty one, but for hidden files, such as the lock of a process that crashed, and a best checkpoint.
    """
    return out.is_dir() and all(path.name == BEST or path.name.startswith(".") for path in out.iterdir())


def _prepare(args: argparse.Namespace, chosen: Chosen, splits: FolderSplits, out: Path) -> tuple[Job, Loaders]:
    """Does everything that comes before the first epoch, so that errors are raised before training."""
    device = choose_device(args.device, args.seed)
    optimisation, merging, mixing, preference = chosen
    classes = len(splits.classes)
    seed_all(args.seed, 0)
    model = _begin(args, classes, out).to(device)
    train_merged(model, **vars(merging))
    mixer = build_mixer(args.mixer, model, classes, mixing)
    build_objective(model, mixer, optimisation.smoothing, preference)  # what does not fit fails before images are read
    loaders = folder_loaders(
        splits,
        model,
        img_size=args.img_size,
        batch_size=args.batch_size,
        workers=args.workers,
        auto_augment=args.auto_augment,
        even=args.mixer == "timm",
    )
    settings = {name: value for name, value in vars(args).items() if name not in INDECISIVE} | chosen.in_force()
    settings |= {"classes": list(splits.classes), "images": digest_of(splits.train, args.data)}
    title = f"{args.model}, {args.mixer}"
    job = Job(title, model, mixer, optimisation, settings, out / CHECKPOINT, args.seed, device, args.amp, preference)
    job.best = out / BEST
    return job, loaders


def _begin(args: argparse.Namespace, classes: int, out: Path) -> nn.Module:
    """Builds the model with its initial weights, which are replaced if the run is resumed."""
    begins = args.fresh or not (out / CHECKPOINT).exists()
    kwargs = model_arguments(args, args.weights if begins else None)
    return build_model(
        args.model, classes, pretrained=args.pretrained and begins, img_size=args.img_size, kwargs=kwargs
    )


def _draw(job: Job, mixer: Mix | None, loaders: Loaders, splits: FolderSplits, out: Path) -> list[Path]:
    """Draws the learning curves, and a few mixes if it is a mixer of this library."""
    figures = {"curves.png": learning_curves({job.title: job.history})}
    if isinstance(mixer, Mixer):
        seed_all(job.seed, 0)
        images, labels = next(iter(loaders.train))
        batch = mixer.mix(images.to(job.device), labels.to(job.device))
        figures["mixes.png"] = mix_grid(batch, splits.classes, loaders.mean, loaders.std)
    return [save_figure(figure, out / name) for name, figure in figures.items()]
