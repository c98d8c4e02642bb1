"""One training on questions and its measures."""

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

HELD_OUT = 500  # held-out drawings of the training split, for choosing settings
MIXED = 2000  # number of questions whose mixes are measured


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        arm: Name of the way of training.
        settings: Settings of the training.
        test: Whether to train on all training drawings and measure on the test questions; otherwise measures are on
            held-out training drawings.
    """

    arm: str
    settings: VqaSettings
    test: bool = False

    def plain(self) -> dict[str, Any]:
        """Returns plain values for a record."""
        return {"arm": self.arm, **asdict(self.settings), "test": self.test}


@cache
def data_of(test: bool) -> VqaData:
    """Reads the questions, once per process."""
    train = load_questions("train")
    places = (train.images.shape[-1] // PATCH) ** 2
    if test:
        return prepare_data(train, load_questions("test"), places)
    cut = len(train.images) - HELD_OUT
    return prepare_data(train.part(0, cut), train.part(cut, len(train.images)), places)


def run_trial(trial: Trial, out: Path, reporter: Reporter) -> Record:
    """Trains, or resumes an interrupted training, and measures."""
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
