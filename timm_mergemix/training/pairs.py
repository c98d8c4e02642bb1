"""How well a model tells clean images from their mixes, on pairs that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import Words, wrong
from ..merge.modes import evaluating
from ..metrics import preference_accuracy, rank_correlation, reward_margin
from ..mix.mixer import Mixer
from ..preference.logp import label_logp

__all__ = ["FAINT", "PairEvaluation", "evaluate_pairs"]

# A mix of which more than this is the image's own class differs little from the image.
FAINT = 0.8


@dataclass(frozen=True)
class PairEvaluation:
    """The result of `evaluate_pairs`.

    Attributes:
        accuracy: Share of pairs whose clean image makes its class more probable than the mix does.
        margin: Mean of log p(y_i | clean) - log p(y_i | mix).
        faint_accuracy: The accuracy over pairs whose target mass is above 0.8; nan if there are none.
        faint_margin: The margin over the same pairs; nan if there are none.
        correlation: Spearman's rank correlation between the target mass and p(y_i | mix), over pairs.
        count: Number of pairs.
    """

    accuracy: float
    margin: float
    faint_accuracy: float
    faint_margin: float
    correlation: float
    count: int


@torch.no_grad()
def evaluate_pairs(
    model: nn.Module, mixer: Mixer, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> PairEvaluation:
    """Mixes held-out images and compares the model's log-probabilities. Its mode is restored.

    Args:
        model: A classifier, with the merging that is in force.
        mixer: Makes the losers; draws from its own generator, so that models meet the same mixes.
        batches: Images and (B,) integer labels.
        device: Where the model is.

    Raises:
        MergeMixError: If there is no pair.
    """
    parts = []
    with evaluating(model):
        for images, labels in batches:
            batch = mixer.mix(images.to(device), labels.to(device))
            winner, loser = (label_logp(model(x), batch.labels) for x in (batch.raw, batch.images))
            is_pair = batch.mass < 1
            parts.append(torch.stack([winner, loser, batch.mass])[:, is_pair].cpu())
    winner, loser, mass = torch.cat(parts, dim=1) if parts else torch.empty(3, 0)
    if not len(mass):
        raise wrong("batches", Words("no pair of a clean image and its mix"), "at least one")
    faint = mass > FAINT
    return PairEvaluation(
        accuracy=preference_accuracy(winner, loser).item(),
        margin=reward_margin(winner, loser).item(),
        faint_accuracy=preference_accuracy(winner, loser, faint).item(),
        faint_margin=reward_margin(winner, loser, valid=faint).item(),
        correlation=rank_correlation(mass, loser.exp()).item(),
        count=len(mass),
    )
