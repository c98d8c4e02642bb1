"""A valid call of each loss and training step, with its reference in float64."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

import timm_mergemix as mm

from .case import Case, agrees, d, f, i, require
from .mixing import is_mix
from .models import encoder

__all__ = ["HAS_TASKS", "LOSSES"]

HAS_TASKS = find_spec("timm.task") is not None  # older releases of timm have none


def mixed(num_classes: int = 5) -> Any:
    """A small batch of which half is mixed."""
    torch.manual_seed(0)
    labels = torch.tensor([0, 3, 1, 2])
    return mm.Mixup(1.0, 0.0, num_classes=num_classes, mode="elem", prob=0.9).mix(f(4, 3, 16, 16), labels)


def _dense(target: Any, classes: int, smoothing: float) -> Tensor:
    if isinstance(target, mm.MixedBatch):
        return d(target.targets)
    if target.ndim == 2:
        return d(target)
    return d(torch.eye(classes)[target.long()]) * (1 - smoothing) + smoothing / classes


def _soft(got: Any, logits: Tensor, target: Any, smoothing: float, bce: bool, reduction: str, **bce_only: Any) -> None:
    wanted, logits = _dense(target, logits.shape[1], smoothing), d(logits)
    if bce:
        threshold = bce_only["target_threshold"]
        wanted = wanted if threshold is None else (wanted > threshold).double()
        costs = -(wanted * logsigmoid(logits)).where(wanted > 0, 0)
        costs = costs - ((1 - wanted) * logsigmoid(-logits)).where(wanted < 1, 0)
        losses = costs.sum(dim=1) if bce_only["sum_classes"] else costs.mean(dim=1)
    else:
        losses = -(wanted * logits.log_softmax(dim=1)).where(wanted != 0, 0).sum(dim=1)
    whole = {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]
    # An infinite binary cross entropy is clamped to the largest number.
    agrees(got.clamp(max=1e38), whole.clamp(max=1e38), 1e-4)


def _lost(name: str, *options: str) -> Any:
    def call(**given: Any) -> Any:
        loss = getattr(mm, name)(**{option: given.pop(option) for option in options})
        return loss(**given)

    return call


SOFT = ("smoothing", "bce", "reduction", "target_threshold", "sum_classes")


def _soft_options(**own: Any) -> dict[str, Any]:
    plain = {"smoothing": 0.0, "bce": False, "reduction": "none", "target_threshold": None, "sum_classes": False}
    return {**plain, "logits": f(4, 5), **own}


def _dense_loss(got: Tensor, logits: Tensor, target: Any, ignore_index: int, reduction: str) -> None:
    logp = d(logits).log_softmax(dim=1)
    if target.ndim == 3:
        counts = target != ignore_index
        known = target.long().clamp(0, logits.shape[1] - 1)
        losses = -logp.gather(1, known.unsqueeze(1)).squeeze(1).where(counts, 0)
        weight = counts.double()
    else:
        losses = -(d(target) * logp).where(target != 0, 0).sum(dim=1)
        weight = d(target).sum(dim=1)
    total = losses.sum()
    whole = {"none": losses, "sum": total, "mean": total / weight.sum() if weight.sum() > 0 else 0 * total}[reduction]
    agrees(got, whole, 1e-4)


PAIRS = ("beta", "gamma", "weight", "variant", "soft_target", "detach_winner", "detach_loser")


def _preferred(got: Any, winner_logits: Any, loser_logits: Tensor, batch: Any, **options: Any) -> None:
    require(len(got) == 5 and all(part.ndim == 0 for part in got), "no scalars")
    if winner_logits is None:
        return
    bce = isinstance(options["soft_target"], nn.Module) and options["soft_target"].bce
    winner, loser = (
        (logsigmoid(d(x)) if bce else d(x).log_softmax(1)).gather(1, batch.labels.long()[:, None])[:, 0]
        for x in (winner_logits, loser_logits)
    )
    is_pair = batch.mass < 1
    margin = options["gamma"] * (1 - d(batch.mass))
    ahead = options["beta"] * (winner - loser)
    losses = softplus(margin - ahead) if options["variant"] == "simpo" else (margin - ahead).relu()
    agrees(got.preference, losses[is_pair].mean() if is_pair.any() else d(torch.zeros(())), 1e-4)


def _preference(**own: Any) -> dict[str, Any]:
    options = {"beta": 1.0, "gamma": 1.0, "weight": 1.0, "variant": "hinge", "soft_target": mm.SoftTargetLoss()}
    switches = {"detach_winner": False, "detach_loser": True}
    inputs = {"winner_logits": f(4, 5), "loser_logits": f(4, 5, seed=1), "batch": mixed(), "reference": None}
    return {**options, **switches, **inputs, **own}


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))


def _step() -> dict[str, Any]:
    return {
        "model": _net(),
        "mixer": mm.Mixup(num_classes=5, mode="elem"),
        "loss": mm.PreferenceLoss(),
        "saliency": None,
        "reference": None,
        "images": f(4, 3, 16, 16),
        "labels": i(5, 4),
    }


def _stepped(**given: Any) -> Any:
    inputs = [given.pop(name) for name in ("images", "labels")]
    return mm.PreferenceStep(**given)(*inputs)


def _tasked(**given: Any) -> Any:
    inputs = [given.pop(name) for name in ("images", "labels")]
    return mm.MergeMixTask(**given, device="cpu", verbose=False)(*inputs)


def _is_step(got: Any, images: Tensor, **_: Any) -> None:
    logits = got["output"] if isinstance(got, dict) else got.logits
    total = got["loss"] if isinstance(got, dict) else got.terms.total
    require(total.ndim == 0 and len(logits) == len(images), "no loss of the batch")
    require(bool(total.isfinite()) or images.abs().max() > 1e30, "a loss that is not finite")


def _paired(**given: Any) -> Any:
    inputs = [given.pop(name) for name in ("images", "labels")]
    return mm.PreferencePairs(**given)(*inputs)


def _collated(**given: Any) -> Any:
    return mm.PreferencePairs(mm.Mixup(num_classes=5)).collate(**given)


LOSSES = {
    "SoftTargetLoss": Case(
        _lost("SoftTargetLoss", *SOFT), lambda: _soft_options(target=f(4, 5, seed=1).softmax(dim=1)), _soft
    ),
    "SoftTargetLoss of labels": Case(
        _lost("SoftTargetLoss", *SOFT), lambda: _soft_options(target=i(5, 4), smoothing=0.1, reduction="mean"), _soft
    ),
    "SoftTargetLoss of a batch": Case(
        _lost("SoftTargetLoss", *SOFT),
        lambda: _soft_options(target=mixed(), bce=True, target_threshold=0.2, sum_classes=True, reduction="sum"),
        _soft,
    ),
    "DenseSoftTargetLoss": Case(
        _lost("DenseSoftTargetLoss", "ignore_index", "reduction"),
        lambda: {"ignore_index": 255, "reduction": "mean", "logits": f(2, 3, 4, 4), "target": i(3, 2, 4, 4)},
        _dense_loss,
    ),
    "DenseSoftTargetLoss of soft maps": Case(
        _lost("DenseSoftTargetLoss", "ignore_index", "reduction"),
        lambda: {
            **{"ignore_index": 255, "reduction": "none", "logits": f(2, 3, 4, 4)},
            "target": f(2, 3, 4, 4).softmax(dim=1),
        },
        _dense_loss,
    ),
    "PreferenceLoss": Case(
        lambda **given: mm.PreferenceLoss(**{name: given.pop(name) for name in PAIRS})(**given),
        _preference,
        _preferred,
        ("bce", "logits", "labels"),
    ),
    "PreferenceStep": Case(_stepped, _step, _is_step, ("loser_logits",), users=("images",)),
    **({"MergeMixTask": Case(_tasked, _step, _is_step, ("loser_logits",), users=("images",))} if HAS_TASKS else {}),
    "PreferencePairs": Case(
        _paired,
        lambda: {"mixer": mm.Mixup(num_classes=5), "collate": None, "images": f(4, 3, 16, 16), "labels": i(5, 4)},
        lambda got, images, labels, **_: is_mix(got.batch, images, labels),
    ),
    "PreferencePairs of samples": Case(
        _collated,
        lambda: {"samples": [(f(3, 16, 16), 1), (f(3, 16, 16, seed=1), 2)]},
        lambda got, samples: require(len(got) == len(samples), "another number of pairs"),
        ("images", "labels"),
    ),
    "MixedBatch": Case(
        lambda **given: mixed().to(**given),
        lambda: {"device": "cpu", "non_blocking": False},
        lambda got, **_: require(len(got) == 4 and got.labels.dtype == torch.int64, "another batch"),
    ),
    "simpo_loss": Case(
        mm.simpo_loss,
        lambda: {"winner_logp": -f(4).abs(), "loser_logp": -f(4, seed=1).abs(), "margin": 0.5, "beta": 1.0},
        lambda got, winner_logp, loser_logp, margin, beta: (
            agrees(got, softplus(d(margin) - beta * (d(winner_logp) - d(loser_logp))), 1e-4)
            if winner_logp.ndim == loser_logp.ndim == 1
            else require(got.ndim == 1, "no loss of each pair")
        ),
    ),
    "saliency_map": Case(
        lambda **given: mm.saliency_map(**given),
        lambda: {
            "encoder": encoder(),
            "x": f(2, 3, 32, 32),
            "layer": None,
            "r": ("keep", 0.5),
            "divide": True,
            "scale": 1.0,
        },
        lambda got, x, **_: agrees(got.sum(dim=(1, 2)), torch.ones(len(x), dtype=torch.float64), 1e-4),
        ("images",),
    ),
}
