"""One training run of the comparison: a task, a method, a seed and options."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from timm_mergemix.errors import check_int
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.training.optim import Optimisation

from .arms import find_arm
from .places import HERE, Places
from .tasks import find_task

__all__ = ["OPTIMISATION", "PREFERENCE", "Trial", "circumstances"]

# Names of the options that do not belong to the mixer.
OPTIMISATION = set(Optimisation.options())
PREFERENCE = set(PreferenceConfig.options())


@dataclass(frozen=True)
class Trial:
    """Everything that identifies a run.

    Attributes:
        task: Name of a task.
        method: Name of a method.
        seed: Seed of the choice of images, the weights and all randomness in training.
        options: Of the optimisation (``lr``), the preference (``beta``), the mixer (``prob``), or ``r`` of merged
            training: names and values, numbers or text as on the command line.
        test: Whether to measure on the test images at the end.
    """

    task: str
    method: str
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    test: bool = False

    def __post_init__(self) -> None:
        check_int("seed", self.seed, 0)
        find_arm(self.method)

    @property
    def chosen(self) -> dict[str, Any]:
        """The options by name."""
        return dict(self.options)

    @property
    def key(self) -> str:
        """A short unique name."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.task}-{self.method}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def circumstances(trial: Trial, places: Places = HERE) -> str:
    """A short digest of what else determines the outcome: the current task, method and weights."""
    task, method = find_task(trial.task), find_arm(trial.method)
    learnt = [task.title, asdict(task.optimisation), task.r, task.amp, task.set_up.facts]
    how = [dict(method.options), method.mixer, method.preference, method.merges]
    text = json.dumps([learnt, how, places.digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
