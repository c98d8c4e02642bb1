"""One training run of the comparison: a task, a method, a seed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from timm_mergemix.arguments import read_r
from timm_mergemix.errors import Words, check_int, unusable, wrong
from timm_mergemix.training.loop import Run, fit
from timm_mergemix.training.model import tokens_kept, train_merged
from timm_mergemix.training.objective import PreferenceOptions
from timm_mergemix.training.optim import Recipe
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.seeds import seed_all

from .measures import measure_plain, measure_robustness, measure_scaled
from .methods import Method, build_mix, find_method
from .places import HERE, Places
from .setup import Setup
from .tasks import find_task

__all__ = ["RECIPE", "Trial", "circumstances", "prepare", "run_trial"]

RECIPE = {each.name for each in fields(Recipe)}
PREFERENCE = {each.name for each in fields(PreferenceOptions)}


@dataclass(frozen=True)
class Trial:
    """What decides the outcome of a run.

    Attributes:
        task: Name of a task.
        method: Name of a method.
        seed: Of the images that are drawn, the weights, and all that is random in training.
        options: Of the recipe (``lr``), the preference (``beta``), the mixer (``prob``), or ``r`` of merged training:
            names and values, numbers or text as on the command line.
        test: Whether the test images are read at the end.
    """

    task: str
    method: str
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    test: bool = False

    def __post_init__(self) -> None:
        check_int("seed", self.seed, 0)
        find_method(self.method)

    @property
    def chosen(self) -> dict[str, Any]:
        """The options by name."""
        schedules = {"r", "saliency_r"}
        return {name: read_r(value) if name in schedules else value for name, value in self.options}

    @property
    def key(self) -> str:
        """A short name of its own."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.task}-{self.method}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def circumstances(trial: Trial, places: Places = HERE) -> str:
    """What decides the outcome beside the trial, as a short digest: task, method and weights as they are today."""
    task, method = find_task(trial.task), find_method(trial.method)
    learnt = [task.title, asdict(task.recipe), task.r, task.amp, task.set_up.facts]
    how = [dict(method.options), method.mixer, method.preference, method.merges]
    text = json.dumps([learnt, how, places.digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def prepare(trial: Trial, out: Path, device: torch.device, places: Places = HERE) -> tuple[Run, Setup]:
    """The run of a trial before its first epoch. All methods of a task and seed begin with the same weights.

    Args:
        trial: Which one.
        out: Where its checkpoint goes.
        device: Where to train.
        places: See `Places`.

    Raises:
        MergeMixError: If a name is unknown, or an option is not taken.
    """
    method, task = find_method(trial.method), find_task(trial.task)
    seed_all(trial.seed, 0)
    setup = task.set_up(trial.seed, device, places)
    recipe = replace(task.recipe, **_taken(trial, RECIPE))
    if method.merges:
        train_merged(setup.model, trial.chosen.get("r", task.r))
    known = RECIPE | PREFERENCE | ({"r"} if method.merges else set())
    mixing = {name: value for name, value in trial.chosen.items() if name not in known}
    if "label_smoothing" in mixing:
        raise wrong("options", Words("label_smoothing"), "smoothing, which all methods take")
    mix = build_mix(method, setup.model, setup.classes, {"label_smoothing": recipe.smoothing, **mixing})
    run = Run(
        title=f"{trial.task}, {method.title}, seed {trial.seed}",
        model=setup.model,
        mixer=mix,
        recipe=recipe,
        settings={"trial": asdict(trial), "circumstances": circumstances(trial, places)},
        path=out / f"{trial.key}.pt",
        seed=trial.seed,
        device=device,
        amp=task.amp,
        preference=_preference(trial, method),
    )
    return run, setup


def run_trial(
    trial: Trial, out: Path, device: torch.device, reporter: Reporter, places: Places = HERE
) -> dict[str, Any]:
    """Trains and measures, or goes on where it was interrupted.

    Args:
        trial: Which one.
        out: Where its checkpoint goes, until it is finished.
        device: Where to train.
        reporter: For bars and lines.
        places: See `Places`.

    Returns:
        The trial, and what was measured on validation (and test) images.
    """
    run, setup = prepare(trial, out, device, places)
    fit(run, setup.train, setup.curve, reporter)
    record: dict[str, Any] = {
        "trial": asdict(trial),
        "circumstances": run.settings["circumstances"],
        "epochs": run.recipe.epochs,
        "tokens": tokens_kept(run.model),
        "epoch_seconds": median(line["seconds"] for line in run.history),
        "val": measure_plain(run.model, setup.val, device, run.amp),
    }
    if trial.test:
        record["test"] = measure_scaled(run.model, setup.test, setup.val, device, run.amp)
    split, hard = ("test", setup.test_hard) if trial.test else ("val", setup.val_hard)
    record[split] |= measure_robustness(run.model, hard, setup.statistics, device, run.amp)
    return record


def _taken(trial: Trial, names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in trial.chosen.items() if name in names}


def _preference(trial: Trial, method: Method) -> PreferenceOptions | None:
    if not method.preference:
        if _taken(trial, PREFERENCE - RECIPE):
            raise unusable("options", f"{trial.method} has no preference to set")
        return None
    return PreferenceOptions(**{"weight": method.preference, **_taken(trial, PREFERENCE)})
