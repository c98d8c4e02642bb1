"""The measures of a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm_mergemix.merge.patch import merging
from timm_mergemix.merge.schedule import R
from timm_mergemix.metrics import brier_score, calibration_error, fit_temperature
from timm_mergemix.training.evaluate import predict, top1
from timm_mergemix.training.images import Statistics

from .corruptions import CORRUPTIONS, hide_patches
from .weather import WEATHER

__all__ = ["measure_others", "measure_plain", "measure_robustness", "measure_scaled"]

Batches = Iterable[tuple[Tensor, Tensor]]
MERGING: dict[str, R] = {"unmerged": 0, "merged to half": ("keep", 0.5)}
SEED = 0


def measure_plain(model: nn.Module, batches: Batches, device: torch.device, amp: bool = False) -> dict[str, float]:
    """Measures accuracy and calibration.

    Args:
        model: A classifier with its current merging.
        batches: Batches of images and labels.
        device: The device of the model.
        amp: Whether the model runs in bfloat16.

    Returns:
        Top-1 accuracy, cross entropy, Brier score and expected calibration error.
    """
    return _plain(*predict(model, batches, device, amp))


def measure_scaled(
    model: nn.Module, batches: Batches, val: Batches, device: torch.device, amp: bool = False
) -> dict[str, float]:
    """Measures the same, and the calibration error at a temperature fitted on validation images.

    Args:
        model: A classifier with its current merging.
        batches: Batches of images and labels.
        val: Batches of other images, on which the temperature is fitted.
        device: The device of the model.
        amp: Whether the model runs in bfloat16.
    """
    temperature = fit_temperature(*predict(model, val, device, amp))
    logits, labels = predict(model, batches, device, amp)
    scaled = calibration_error((logits / temperature).softmax(dim=1), labels).item()
    return {**_plain(logits, labels), "ece_scaled": scaled, "temperature": temperature}


def _plain(logits: Tensor, labels: Tensor) -> dict[str, float]:
    probs = logits.softmax(dim=1)
    return {
        "top1": top1(logits, labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "brier": brier_score(probs, labels).item(),
        "ece": calibration_error(probs, labels).item(),
    }


def measure_robustness(
    model: nn.Module, batches: Batches, statistics: Statistics, device: torch.device, amp: bool = False
) -> dict[str, float]:
    """Measures top-1 on corrupted images and with hidden patches; then unmerged, and with half of the tokens merged.

    Args:
        model: A classifier.
        batches: Batches of normalised images and labels.
        statistics: The statistics with which the images were normalised.
        device: The device of the model.
        amp: Whether the model runs in bfloat16.
    """
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (statistics.mean, statistics.std))
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        name: lambda images, corrupt=corrupt: (corrupt((images * std + mean).clamp(0, 1)) - mean) / std  # type: ignore[misc]
        for name, corrupt in (CORRUPTIONS | WEATHER).items()
    }
    changes["random patches hidden"] = lambda images: hide_patches(model, images, salient=False)
    changes["salient patches hidden"] = lambda images: hide_patches(model, images, salient=True)
    found = {name: _top1(model, _changed(batches, change, device), device, amp) for name, change in changes.items()}
    for name, r in MERGING.items():
        with merging(model, r):
            found[name] = _top1(model, batches, device, amp)
    return found


def measure_others(
    model: nn.Module, others: Mapping[str, Batches], device: torch.device, amp: bool = False
) -> dict[str, float]:
    """Top-1 on other images of the same objects, by name.

    Args:
        model: A classifier, with the merging that is in force.
        others: Batches by name.
        device: Where the model is.
        amp: Whether it runs in bfloat16.
    """
    return {name: _top1(model, batches, device, amp) for name, batches in others.items()}


def _top1(model: nn.Module, batches: Batches, device: torch.device, amp: bool) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)  # all models get the same noise
        return top1(*predict(model, batches, device, amp))


def _changed(
    batches: Batches, change: Callable[[Tensor], Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in batches:
        yield change(images.to(device)), labels
