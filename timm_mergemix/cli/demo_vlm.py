"""``timm-mergemix demo --vlm``: a small LLaVA that answers questions, with and without the preference."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..config import given_flags
from ..errors import need, unusable
from ..files.lock import locked
from ..training.vqa.arms import ARMS, VqaSettings, pair_mixer
from ..training.vqa.data import VqaData, prepare_data
from ..training.vqa.measure import AnswerEvaluation, MixedAnswers, evaluate_answers, evaluate_mixes
from ..training.vqa.model import PATCH, count_places
from ..training.vqa.questions import load_questions
from ..training.vqa.run import VqaOutcome, train_arm
from .demo_vlm_pictures import draw_answers
from .device import cpu_threads
from .options import make_directory
from .output import Output
from .pictures import report_page, write_results
from .report import markdown_table, text_table, to_json

__all__ = ["run_vlm"]

HEADER = (
    "training",
    "accuracy",
    "calibration error",
    "preference accuracy",
    "reward margin",
    "with noise",
    "with hidden patches",
    "image tokens",
    "seconds per step",
)
MIXES = 2000
# Chosen on held-out drawings, see docs/results-questions.md; with the published weight the model learns to spot mixes.
PREFERENCE: dict[str, Any] = {"variant": "hinge", "weight": 0.1}
# Flags of the demo of classifiers, which do not apply here.
OTHERS = ("data", "train_size", "val_size", "test_size", "width", "depth", "r", "preference", "device")


@dataclass(frozen=True)
class Result:
    """A way of training, with its model and its test results.

    Attributes:
        outcome: The training.
        test: On the test questions.
        mixed: On mixes of their images, the same ones for all arms.
    """

    outcome: VqaOutcome
    test: AnswerEvaluation
    mixed: MixedAnswers

    @property
    def tokens(self) -> int:
        """The number of image tokens of a question."""
        return round(self.outcome.arm.keep * count_places(self.outcome.model))


def run_vlm(args: argparse.Namespace, defaults: argparse.Namespace) -> None:
    """Trains, tests, writes pictures and prints the table.

    Args:
        args: The options that were given.
        defaults: The options if none were given.

    Raises:
        MergeMixError: If a flag is given that does not apply here, or a package is missing.
    """
    given = [name for name in OTHERS if getattr(args, name) != getattr(defaults, name)]
    if given:
        raise unusable(given[0], "cannot be set together with --vlm, which has its own model and data")
    for package in ("matplotlib.figure", "transformers", "accelerate"):  # rather now than after the training
        need(package, "the demonstration with questions", "vlm-demo")
    with cpu_threads(torch.get_num_threads() if args.threads is None else args.threads):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    start = time.perf_counter()
    output = Output(args)
    settings = VqaSettings(**{**PREFERENCE, **given_flags(args, VqaSettings), "seed": args.seed})
    train, test = load_questions("train"), load_questions("test")
    data = prepare_data(train, test, (train.images.shape[-1] // PATCH) ** 2)
    about = (
        f"Data: easy-VQA, {len(train):,} questions about {len(train.images):,} drawings for training, "
        f"{len(test):,} about {len(test.images):,} for the test."
    )
    output.reporter.say(about)
    out = make_directory(args.out)
    with locked(out / "results.json"):
        results = [_train(arm, data, settings, args, output) for arm in ARMS]
        rows, notes, values = _rows(results), _notes(results, settings), _values(results, about, settings)
        pictures = draw_answers({each.outcome.arm.title: each.mixed for each in results}, data)
        texts = {"results.json": to_json(values) + "\n", "results.md": f"{markdown_table(HEADER, rows)}\n\n{notes}\n"}
        if args.report:
            title = "Winner and loser for questions, a demonstration"
            texts["report.html"] = report_page(title, pictures, (HEADER, rows), (about, notes), asdict(settings))
        written = write_results(pictures, texts, out)
    head = f"{about}\n" if args.quiet else ""
    wrote = f"Wrote {', '.join(map(str, written))} in {time.perf_counter() - start:.0f} s."
    output.result(f"{head}\n{text_table(HEADER, rows)}\n\n{notes}\n{wrote}", {**values, "written": written})


def _train(arm: Any, data: VqaData, settings: VqaSettings, args: argparse.Namespace, output: Output) -> Result:
    outcome = train_arm(arm, data, settings, args.out, output.reporter, args.fresh)
    numbers = range(len(data.test))
    test = evaluate_answers(outcome.model, data.test, numbers)
    shuffled = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0)).tolist()
    mixer = pair_mixer("cutmix", outcome.model, generator=torch.Generator().manual_seed(0))
    mixed = evaluate_mixes(outcome.model, data.test, shuffled[:MIXES], mixer)
    output.reporter.say(f"{arm.title}: accuracy {100 * test.accuracy:.1f} %")
    return Result(outcome, test, mixed)


def _rows(results: Sequence[Result]) -> list[list[str]]:
    rows = []
    for result in results:
        pairs, test = result.mixed.summary(), result.test
        rows.append(
            [
                result.outcome.arm.title,
                f"{100 * test.accuracy:.1f} %",
                f"{test.calibration_error:.3f}",
                f"{100 * pairs['preference_accuracy']:.1f} %",
                f"{pairs['reward_margin']:.2f}",
                f"{100 * test.noise:.1f} %",
                f"{100 * test.hidden:.1f} %",
                str(result.tokens),
                f"{result.outcome.seconds_per_step:.3f}",
            ]
        )
    return rows


def _notes(results: Sequence[Result], settings: VqaSettings) -> str:
    trained = f"{settings.epochs:g} epoch" + ("" if settings.epochs == 1 else "s")
    steps = f"{results[0].outcome.steps:,} steps of {settings.batch_size}"
    return (
        f"Test questions after {trained} ({steps}); one seed ({settings.seed}); calibration error of 15 bins.\n"
        "Preference accuracy: how often the right answer is more probable for a clean test image than for its CutMix\n"
        "mix; reward margin: by how much, in log-probability. All ways of training are tested on the same mixes.\n"
        "A step with the preference runs the model twice, on the clean images and on their mixes."
    )


def _values(results: Sequence[Result], about: str, settings: VqaSettings) -> dict[str, Any]:
    arms = {
        result.outcome.arm.name: {
            "title": result.outcome.arm.title,
            **asdict(result.test),
            **result.mixed.summary(),
            "image_tokens": result.tokens,
            "seconds_per_step": result.outcome.seconds_per_step,
            "steps": result.outcome.steps,
        }
        for result in results
    }
    return {"data": about, "settings": asdict(settings), "arms": arms}
