"""How well a model tells images from their mixes is measured on the same mixes for every model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.training.pairs import FAINT, evaluate_pairs

CPU = torch.device("cpu")


class Brightness(nn.Module):
    """Says class 1 the more, the more bright pixels there are."""

    def forward(self, x: Tensor) -> Tensor:
        share = x.mean(dim=(1, 2, 3)).clamp(0.01, 0.99)
        return torch.stack([(1 - share).log(), share.log()], dim=1)


def batches(count: int = 3, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Dark images of class 0 and bright ones of class 1, each beside its opposite."""
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    return [(labels.float()[:, None, None, None].expand(8, 3, size, size), labels)] * count


def mixer() -> mm.Mixer:
    return mm.create_mixer("cutmix", num_classes=2, mode="elem", generator=torch.Generator().manual_seed(0))


def test_a_model_that_measures_the_mix_is_right_about_all_pairs() -> None:
    model = Brightness().train()
    found = evaluate_pairs(model, mixer(), batches(), CPU)
    assert found.accuracy == 1.0 and found.correlation > 0.99
    assert found.margin > 0 and model.training
    assert 0 < found.count <= 24


def test_numbers_are_those_computed_by_hand() -> None:
    found = evaluate_pairs(Brightness(), mixer(), batches(), CPU)
    margins, faint = [], []
    again = mixer()
    for images, labels in batches():
        batch = again.mix(images, labels)
        for i in range(8):
            mass = batch.mass[i].item()
            if mass < 1:
                share = batch.images[i].mean().clamp(0.01, 0.99).item()
                margins.append(math.log(0.99) - math.log(share if labels[i] else 1 - share))
                faint += margins[-1:] if mass > FAINT else []
    assert found.count == len(margins)
    assert found.margin == pytest.approx(sum(margins) / len(margins), rel=1e-5)
    assert found.faint_margin == pytest.approx(sum(faint) / len(faint), rel=1e-4)


def test_a_model_that_sees_nothing_is_right_half_of_the_time() -> None:
    found = evaluate_pairs(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 2).requires_grad_(False).apply(zero)), mixer(), batches(), CPU
    )
    assert found.accuracy == 0.5 and found.margin == 0 and math.isnan(found.correlation)


def zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def test_batches_without_a_pair_are_refused() -> None:
    images, labels = batches()[0]
    with pytest.raises(MergeMixError, match="got no pair of a clean image and its mix"):
        evaluate_pairs(Brightness(), mixer(), [(images, torch.zeros_like(labels))], CPU)
    with pytest.raises(MergeMixError, match="got no pair"):
        evaluate_pairs(Brightness(), mixer(), [], CPU)
