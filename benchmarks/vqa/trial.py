"""One training on questions, and what is measured of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.records import Record
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.vqa.arms import VqaSettings, pair_mixer
from timm_mergemix.training.vqa.data import VqaData, prepare_data
from timm_mergemix.training.vqa.measure import evaluate_answers, evaluate_mixes
from timm_mergemix.training.vqa.model import PATCH
from timm_mergemix.training.vqa.questions import load_questions
from timm_mergemix.training.vqa.run import train_arm

from .arms import find_arm

__all__ = ["Trial", "data_of", "run_trial"]

HELD_OUT = 500  # drawings of the training split by which settings are chosen
MIXED = 2000  # questions whose mixes are looked at


@dataclass(frozen=True)
class Trial:
    """What is trained.

    Attributes:
        arm: Name of the way of training.
        settings: Of the training.
        test: Whether all training drawings are trained on and the test questions are read; else settings are chosen by
            held-out training drawings.
    """

    arm: str
    settings: VqaSettings
    test: bool = False

    def plain(self) -> dict[str, Any]:
        """Plain values, as a record has them."""
        return {"arm": self.arm, **asdict(self.settings), "test": self.test}


@cache
def data_of(test: bool) -> VqaData:
    """The questions; read once in each process."""
    train = load_questions("train")
    places = (train.images.shape[-1] // PATCH) ** 2
    if test:
        return prepare_data(train, load_questions("test"), places)
    cut = len(train.images) - HELD_OUT
    return prepare_data(train.part(0, cut), train.part(cut, len(train.images)), places)


def run_trial(trial: Trial, out: Path, reporter: Reporter) -> Record:
    """Trains, or goes on where it was interrupted, and measures."""
    data = data_of(trial.test)
    outcome = train_arm(find_arm(trial.arm), data, trial.settings, out, reporter)
    numbers = range(len(data.test))
    measured: dict[str, float] = asdict(evaluate_answers(outcome.model, data.test, numbers))
    for kind in ("cutmix", "mergemix"):
        mixer = pair_mixer(kind, outcome.model, generator=torch.Generator().manual_seed(0))
        shuffled = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0)).tolist()
        mixed = evaluate_mixes(outcome.model, data.test, shuffled[:MIXED], mixer)
        measured |= {f"{kind}_{name}": value for name, value in mixed.summary().items()}
    return {"trial": trial.plain(), "steps": outcome.steps, "measured": measured}
