"""Measures of answers: accuracy, calibration, robustness, and the preference of clean images over mixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import Words, wrong
from ...merge.modes import evaluating
from ...metrics import brier_score, calibration_error, preference_accuracy, rank_correlation, reward_margin
from ...vlm.answers import IGNORED
from ...vlm.batches import examples_of
from ...vlm.mixer import ImageMixer
from ...vlm.partners import Pairing
from .batches import QuestionBatches
from .model import PATCH

__all__ = ["AnswerEvaluation", "MixedAnswers", "evaluate_answers", "evaluate_mixes", "predict_answers"]

BATCH = 250
NOISE = 0.5  # standard deviation of the noise; that of the images is 1
HIDDEN = 0.3  # share of patches that are hidden


@dataclass(frozen=True)
class AnswerEvaluation:
    """The results of `evaluate_answers`.

    Attributes:
        accuracy: Share of questions whose most probable answer is right.
        open_accuracy: The same share among questions that are not answered by yes or no.
        calibration_error: Expected calibration error with 15 bins of equal width.
        brier: Brier score.
        noise: Accuracy on images with added noise.
        hidden: Accuracy on images with hidden patches.
    """

    accuracy: float
    open_accuracy: float
    calibration_error: float
    brier: float
    noise: float
    hidden: float


class MixedAnswers(NamedTuple):
    """The answers of a model for clean images and for their mixes.

    Attributes:
        winner: (n, words) float32, log-probabilities of all words as the answer for the clean images.
        loser: (n, words) float32, the same for their mixes.
        labels: (n,) int64, the right answers.
        ratio: (n,) float32, the share of each mix that is the clean image.
        numbers: (n,) int64, the indices of the questions.
        partners: The values of ``about`` of the questions whose pictures were mixed in.
        images: (n, C, H, W), the mixes.
    """

    winner: Tensor
    loser: Tensor
    labels: Tensor
    ratio: Tensor
    numbers: Tensor
    partners: list[Any]
    images: Tensor

    def of_answer(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities (n,) of the right answers, for the clean images and for their mixes."""
        first, second = (part.gather(1, self.labels.unsqueeze(1)).squeeze(1) for part in (self.winner, self.loser))
        return first, second

    def summary(self) -> dict[str, float]:
        """Preference accuracy, reward margin, and the rank correlation between the ratio and p(answer | mix)."""
        winner, loser = self.of_answer()
        return {
            "preference_accuracy": preference_accuracy(winner, loser).item(),
            "reward_margin": reward_margin(winner, loser).item(),
            "correlation": rank_correlation(self.ratio, loser.exp()).item(),
        }


def predict_answers(
    model: Any, batches: QuestionBatches, numbers: Sequence[int], change: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Returns log-probabilities (n, words) of each word as the answer, and the right answers (n,).

    Args:
        model: The model, patched or not.
        batches: Makes the batches.
        numbers: Indices of the questions.
        change: Optional function that changes the images of a batch.
    """
    parts = []
    with evaluating(model), torch.inference_mode():
        for some in _parts(numbers):
            batch = batches(some)
            if change is not None:
                batch["pixel_values"] = change(batch["pixel_values"])
            parts.append(_answers(model, batch))
    logp, labels = zip(*parts, strict=True)
    return torch.cat(logp), torch.cat(labels)


def evaluate_answers(model: Any, batches: QuestionBatches, numbers: Sequence[int]) -> AnswerEvaluation:
    """Evaluates a model on plain, noisy and partly hidden images, which are the same for all models."""
    logp, labels = predict_answers(model, batches, numbers)
    is_open = torch.tensor([batches.questions.items[number].is_open for number in numbers])
    right = (logp.argmax(dim=1) == labels).float()
    generator = torch.Generator().manual_seed(0)
    changes = (partial(change, generator=generator) for change in (_add_noise, _hide_patches))
    changed = [predict_answers(model, batches, numbers, change)[0] for change in changes]
    noise, hidden = ((part.argmax(dim=1) == labels).float().mean().item() for part in changed)
    return AnswerEvaluation(
        right.mean().item(),
        right[is_open].mean().item(),
        calibration_error(logp.exp(), labels).item(),
        brier_score(logp.exp(), labels).item(),
        noise,
        hidden,
    )


def evaluate_mixes(model: Any, batches: QuestionBatches, numbers: Sequence[int], mixer: ImageMixer) -> MixedAnswers:
    """Compares the answers of a model for clean images with those for their mixes.

    Args:
        model: The model, patched or not.
        batches: Makes the batches.
        numbers: Indices of the questions; those without a loser are skipped.
        mixer: Makes the mixes. With a freshly seeded generator, they are the same for every model.

    Raises:
        MergeMixError: If no question has a loser.
    """
    token, parts = model.config.image_token_id, []
    partners: list[Any] = []
    with evaluating(model), torch.no_grad():
        for some in _parts(numbers):
            batch = batches(some)
            pairing: Pairing = mixer.pair(examples_of(batch, token, None, False))
            rows = list(pairing.rows)
            if not rows:
                continue
            mixes = mixer.mix(pairing)
            winner, labels = (part[rows] for part in _answers(model, batch))
            mixed = batches([some[row] for row in rows]) | {"pixel_values": mixes.images}
            numbered = torch.tensor([some[row] for row in rows])
            parts.append((winner, _answers(model, mixed)[0], labels, mixes.ratio, numbered, mixes.images))
            partners += [other.about for other in pairing.partners]
    if not parts:
        raise wrong("numbers", Words("questions without a loser"), "at least one question that has a loser")
    winner, loser, labels, ratio, numbered, images = (torch.cat(column) for column in zip(*parts, strict=True))
    return MixedAnswers(winner, loser, labels, ratio, numbered, partners, images)


def _answers(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    labels = batch["labels"]
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    names = ("input_ids", "attention_mask", "pixel_values")
    logits = model(**{name: batch[name] for name in names}).logits
    return logits[rows, columns - 1].float().log_softmax(dim=-1), labels[rows, columns]


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), BATCH):
        yield numbers[start : start + BATCH]


def _add_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return images + NOISE * torch.randn(images.shape, generator=generator)


def _hide_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """Replaces random patches by the mean colour."""
    batch, _, height, width = images.shape
    shown = torch.rand(batch, 1, height // PATCH, width // PATCH, generator=generator) >= HIDDEN
    return images * F.interpolate(shown.float(), size=(height, width))
