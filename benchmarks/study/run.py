"""Trains and measures a trial."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from timm_mergemix.errors import Words, unusable, wrong
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.training.loop import Job, fit
from timm_mergemix.training.model import tokens_kept, train_merged
from timm_mergemix.training.objective import NO_PREFERENCE
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.seeds import seed_all

from ..records import Record
from .arms import Arm, build_mix, find_arm
from .measures import measure_others, measure_plain, measure_robustness, measure_scaled
from .pairs import measure_pairs
from .places import HERE, Places
from .setup import Setup
from .tasks import find_task
from .trial import OPTIMISATION, PREFERENCE, Trial, circumstances

__all__ = ["prepare", "run_trial"]


def prepare(trial: Trial, out: Path, device: torch.device, places: Places = HERE) -> tuple[Job, Setup]:
    """Makes the run of a trial. All methods of a task and seed start from the same weights.

    Args:
        trial: The trial.
        out: Folder for the checkpoint.
        device: The device for training.
        places: Paths of weights and data.

    Raises:
        MergeMixError: If a name is unknown, or an option does not apply.
    """
    method, task = find_arm(trial.method), find_task(trial.task)
    seed_all(trial.seed, 0)
    setup = task.set_up(trial.seed, device, places)
    optimisation = replace(task.optimisation, **_taken(trial, OPTIMISATION))
    if method.merges:
        train_merged(setup.model, trial.chosen.get("r", task.r))
    known = OPTIMISATION | PREFERENCE | ({"r"} if method.merges else set())
    mixing = {name: value for name, value in trial.chosen.items() if name not in known}
    if "label_smoothing" in mixing:
        raise wrong("options", Words("label_smoothing"), "smoothing, which all methods take")
    mixing = {"label_smoothing": optimisation.smoothing, **mixing}
    mix = build_mix(method, setup.model, setup.classes, mixing, setup.masks)
    run = Job(
        title=f"{trial.task}, {method.title}, seed {trial.seed}",
        model=setup.model,
        mixer=mix,
        optimisation=optimisation,
        settings={"trial": asdict(trial), "circumstances": circumstances(trial, places)},
        path=out / f"{trial.key}.pt",
        seed=trial.seed,
        device=device,
        amp=task.amp,
        preference=_preference(trial, method),
    )
    return run, setup


def run_trial(trial: Trial, out: Path, device: torch.device, reporter: Reporter, places: Places = HERE) -> Record:
    """Trains and measures a trial, or resumes it if it was interrupted.

    Args:
        trial: The trial.
        out: Folder for the checkpoint, which is removed at the end.
        device: The device for training.
        reporter: Shows progress bars and lines.
        places: Paths of weights and data.

    Returns:
        The trial, and its measures on validation images (and test images).
    """
    run, setup = prepare(trial, out, device, places)
    fit(run, setup.train, setup.curve, reporter)
    record: Record = {
        "trial": asdict(trial),
        "circumstances": run.settings["circumstances"],
        "epochs": run.optimisation.epochs,
        "tokens": tokens_kept(run.model),
        "epoch_seconds": median(line["seconds"] for line in run.history),
        "curve": [[line["seconds"], line["val_top1"]] for line in run.history],
        "val": measure_plain(run.model, setup.val.all, device, run.amp),
    }
    if trial.test:
        record["test"] = measure_scaled(run.model, setup.test.all, setup.val.all, device, run.amp)
    split, images = ("test", setup.test) if trial.test else ("val", setup.val)
    record[split] |= measure_robustness(run.model, images.hard, setup.statistics, device, run.amp)
    record[split] |= measure_others(run.model, images.others, device, run.amp)
    record[split] |= measure_pairs(run.model, images.pairs, setup.classes, device, run.amp)
    return record


def _taken(trial: Trial, names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in trial.chosen.items() if name in names}


def _preference(trial: Trial, method: Arm) -> PreferenceConfig:
    if not method.preference:
        if _taken(trial, PREFERENCE - OPTIMISATION):
            raise unusable("options", f"{trial.method} has no preference to set")
        return NO_PREFERENCE
    return PreferenceConfig(**{"weight": method.preference, **_taken(trial, PREFERENCE)})
