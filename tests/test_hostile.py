"""Every public name, called with hostile arguments, refuses them by name or gives a correct result."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.errors import wrong

from .hostile.case import Case, agrees
from .hostile.functions import FUNCTIONS, METRICS
from .hostile.losses import HAS_TASKS, LOSSES
from .hostile.mixing import MIXERS, TRANSFORMS
from .hostile.models import MODELS, VIZ, VLM
from .hostile.pool import changes
from .hostile.run import attempt

CASES: dict[str, Case] = {**FUNCTIONS, **METRICS, **LOSSES, **MIXERS, **TRANSFORMS, **MODELS, **VIZ, **VLM}
# Number of calls per name; fewer for names that run models or draw pictures.
CALLS, SLOW_CALLS = 24, 12
SLOW = {"MergeMix", "transforms.MergeMix", "saliency_map", *MODELS, *VIZ, "vlm.ImageMixer"}
# Names for which every argument is changed in every way, one at a time.
OTHERS = ("Soft", "DenseSoft", "simpo", "Draw", "Blend", "Paste", "MixedBatch", "PreferencePairs of")
QUICK = [name for name in CASES if name in {**FUNCTIONS, **METRICS} or name.startswith(OTHERS)]
MODULES = {"": mm, "functional.": mm.functional, "metrics.": mm.metrics, "transforms.": mm.transforms}
MODULES |= {"viz.": mm.viz, "vlm.": mm.vlm}
RECORD = "a record that the library makes; the functions that read it check it"
# Public names that are not called, with the reason.
UNCALLED = {
    "MergeMixError": "the error itself; test_errors.py",
    "Pairs": RECORD,
    "__version__": "a text",
    "testing": "a module, whose functions raise AssertionErrors; testing/",
    "install": "takes nothing",
    "uninstall": "takes nothing",
    "list_mixers": "takes nothing",
    **{name.rstrip("."): "a module" for name in MODULES if name},
    **{f"vlm.{name}": RECORD for name in ("AnswerLogp", "Counts", "Example", "Mixes", "Pairing")},
    "vlm.SequencePreferenceTerms": RECORD,
    "vlm.SequenceStepOutput": RECORD,
    **({} if HAS_TASKS else {"MergeMixTask": "a task, which this timm does not know"}),
    "vlm.MergeMixMixin": "part of a trainer of transformers; vlm/test_mixin.py",
    "vlm.MergeMixTrainer": "a trainer of transformers; vlm/test_trainer.py",
}


def public_names() -> set[str]:
    return {prefix + name for prefix, module in MODULES.items() for name in module.__all__}


def hostile_calls(name: str) -> list[dict[str, str]]:
    """For each call, the changes of its arguments; the same in every run."""
    chance = random.Random(name)
    given = CASES[name].given()
    calls = []
    for _ in range(SLOW_CALLS if name in SLOW else CALLS):
        changed = chance.sample(sorted(given), k=min(chance.choice((1, 1, 2)), len(given)))
        calls.append({argument: chance.choice(sorted(changes(given[argument]))) for argument in changed})
    return calls


def outcome(name: str, call: dict[str, str]) -> str:
    given = CASES[name].given()
    return attempt(CASES[name], {argument: changes(given[argument])[change] for argument, change in call.items()})


def test_every_public_name_is_called_or_excused() -> None:
    called = {name.split(" ")[0] for name in CASES}
    assert public_names() - called - set(UNCALLED) == set()
    assert set(UNCALLED) <= public_names() and not set(UNCALLED) & called


def test_there_are_a_thousand_calls() -> None:
    assert sum(SLOW_CALLS if name in SLOW else CALLS for name in CASES) >= 1000


@pytest.mark.parametrize("name", CASES)
def test_the_unchanged_call_is_correct(name: str) -> None:
    assert attempt(CASES[name], {}) == ""


@pytest.mark.parametrize("name", QUICK)
def test_each_change_of_one_argument_is_refused_by_name_or_correct(name: str) -> None:
    case, wrong_ones = CASES[name], []
    for argument, value in case.given().items():
        outcomes = {change: attempt(case, {argument: make}) for change, make in changes(value).items()}
        wrong_ones += [f"{argument} {change}: {said}" for change, said in outcomes.items() if said]
    assert not wrong_ones, "\n".join(wrong_ones)


@pytest.mark.parametrize("name", CASES)
def test_hostile_calls_are_refused_by_name_or_correct(name: str) -> None:
    outcomes = [(call, outcome(name, call)) for call in hostile_calls(name)]
    wrong_ones = [f"{call}: {said}" for call, said in outcomes if said]
    assert not wrong_ones, "\n".join(wrong_ones)


def planted(fault: str) -> Any:
    def call(x: torch.Tensor, y: int) -> torch.Tensor:
        if fault == "raises":
            raise TypeError("torch's own")
        if fault == "names none":
            raise wrong("z", y, "something else")
        if fault == "changes":
            x.add_(1)
        return x + (fault == "returns")

    return call


@pytest.mark.parametrize("fault", ["raises", "names none", "changes", "returns"])
def test_a_planted_fault_is_found(fault: str) -> None:
    def right(got: torch.Tensor, x: torch.Tensor, y: int) -> None:
        agrees(got, x)

    case = Case(planted(fault), lambda: {"x": torch.zeros(3), "y": 1}, right)
    assert fault in attempt(case, {})
    assert attempt(Case(planted(""), case.given, right), {}) == ""
