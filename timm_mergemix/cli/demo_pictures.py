"""The pictures of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..mixers.registry import create_mixer
from ..training.compare import EVALUATION_BATCH, Outcome
from ..training.evaluate import predict
from ..training.images import ImageSet, MemoryBatches
from ..training.seeds import seed_all
from ..training.sources import DemoData
from ..viz import confidence_by_ratio, learning_curves, merge_grid, mix_grid, reliability_diagram
from .pictures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_demo"]

ROWS = 6
MIXES = 1000
TEXTS = {
    "mixes": ("Mixes", "Training images, and the mixes that the trained model's attention makes of them."),
    "merging": ("Token merging", "Patches that are one token share its mean colour; white lines separate tokens."),
    "curves": ("Learning curves", "The loss is measured on mixed images, the accuracy on plain ones."),
    "reliability": (
        "Calibration",
        "Test images. Above the line, the model is right more often than it expects.",
    ),
    "confidence": (
        "Confidence and mixing ratio",
        "Mixes of test images. A model that sees both images is near the line.",
    ),
}


def draw_demo(outcomes: Sequence[Outcome], data: DemoData, seed: int, device: torch.device) -> list[Picture]:
    """Draws what the trained models do and how they were trained. The first that merges shows its mixes and merging."""
    own = next(outcome for outcome in outcomes if outcome.method.merges)
    runs = {outcome.method.title: _probabilities(outcome, data.test, device) for outcome in outcomes}
    figures = {
        **_draw_mixes(own, data, seed, device),
        "curves": learning_curves({outcome.method.title: outcome.history for outcome in outcomes}),
        "reliability": reliability_diagram(runs),
    }
    return [Picture(name, figures[name], *texts) for name, texts in TEXTS.items()]


def _draw_mixes(own: Outcome, data: DemoData, seed: int, device: torch.device) -> dict[str, Figure]:
    classes, mean, std = data.source.classes, own.statistics.mean, own.statistics.std
    mixer = create_mixer("mergemix", encoder=own.model, num_classes=len(classes), mergemix_prob=1.0, mode="elem")
    seed_all(seed, 0)
    batch = mixer.mix(*_some(data.train, 2 * ROWS, own, device))
    mixes = mixer.mix(*_some(data.test.shuffled(seed), MIXES, own, device))
    own.model.eval()
    with torch.inference_mode():
        probs = torch.cat([own.model(part) for part in mixes.images.split(EVALUATION_BATCH)]).softmax(dim=1)
    return {
        "mixes": mix_grid(batch, classes, mean, std, ROWS),
        "merging": merge_grid(own.model, _some(data.test, ROWS, own, device)[0], mean=mean, std=std),
        "confidence": confidence_by_ratio(mixes, probs),
    }


def _some(images: ImageSet, count: int, outcome: Outcome, device: torch.device) -> tuple[Tensor, Tensor]:
    chosen = images.take(torch.arange(min(count, len(images))))
    return outcome.statistics.normalize(chosen.images.to(device).float().div(255)), chosen.labels.to(device)


def _probabilities(outcome: Outcome, images: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    batches = MemoryBatches(images, EVALUATION_BATCH, outcome.statistics, device=device)
    logits, labels = predict(outcome.model, batches, device)
    return logits.softmax(dim=1), labels
