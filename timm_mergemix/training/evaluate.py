"""Accuracy and calibration on plain images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import Words, wrong
from ..merge.modes import evaluating
from ..metrics import calibration_error

__all__ = ["Evaluation", "evaluate", "predict", "top1"]


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        top1: Share of images whose most probable class is right.
        loss: Mean cross entropy, without smoothing.
        calibration_error: Expected calibration error with 15 bins of equal width.
        count: Number of images.
    """

    top1: float
    loss: float
    calibration_error: float
    count: int


def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device, amp: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits in float32 and labels of all batches, on the CPU. The modes of the model's modules are restored.

    Raises:
        MergeMixError: If there are no images.
    """
    outputs, targets = [], []
    with evaluating(model), torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        for images, labels in batches:
            outputs.append(model(images.to(device)).float().cpu())
            targets.append(labels.cpu())
    if not outputs:
        raise wrong("data", Words("no images to evaluate on"), "at least one")
    return torch.cat(outputs), torch.cat(targets)


def top1(logits: Tensor, labels: Tensor) -> float:
    """Share of images whose most probable class is right."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device, *, amp: bool = False
) -> Evaluation:
    """Evaluates a classifier as it is, with the merging that is in force; in bfloat16 if ``amp``."""
    logits, labels = predict(model, batches, device, amp)
    error = calibration_error(logits.softmax(dim=1), labels).item()
    return Evaluation(top1(logits, labels), F.cross_entropy(logits, labels).item(), error, len(labels))
