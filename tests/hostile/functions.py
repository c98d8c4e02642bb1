"""A valid call of each pure function and metric, with its reference in float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

import timm_mergemix as mm

from .case import Case, agrees, between, d, f, i, require, spread

__all__ = ["FUNCTIONS", "METRICS"]

F, M = mm.functional, mm.metrics


def _plan() -> Any:
    return F.bipartite_matching(f(2, 9, 4), 3, 1)


def is_plan(plan: Any, keys: Tensor, r: int, prefix_tokens: int = 0, **_: Any) -> None:
    """Each token is kept or merged exactly once, prefix tokens are kept, and targets exist."""
    batch, length = keys.shape[:2]
    require(plan.keep.shape == (batch, length - r) and plan.source.shape == plan.target.shape == (batch, r), "shapes")
    if plan.keep.is_meta:
        return
    both = torch.cat([plan.keep, plan.source], dim=1).sort(dim=1).values
    require(torch.equal(both, torch.arange(length).expand(batch, -1)), "some tokens are lost or used twice")
    require(bool((plan.source >= prefix_tokens).all()), "a prefix token merges")
    require(bool(((plan.target >= 0) & (plan.target < length - r)).all()), "a target that does not exist")


def _keys() -> dict[str, Any]:
    return {"keys": f(2, 9, 4), "r": 3, "prefix_tokens": 1, "padding": torch.arange(9).expand(2, -1) > 7}


def _logp() -> dict[str, Any]:
    return {"winner_logp": -f(4).abs(), "loser_logp": -f(4, seed=1).abs()}


def _tokens() -> dict[str, Any]:
    mask = torch.arange(3) < torch.tensor([[1], [2], [3], [2]])
    logp = {"winner_logp": -f(4, 3).abs(), "loser_logp": -f(4, 3, seed=1).abs()}
    return {**logp, "margin": 0.5, "beta": 2.0, "winner_mask": mask, "loser_mask": mask}


def _ahead(winner_logp: Tensor, loser_logp: Tensor, winner_mask: Any, loser_mask: Any, total: bool = False) -> Tensor:
    def of(logp: Tensor, mask: Any) -> Tensor:
        if logp.ndim == 1:
            return d(logp)
        mask = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask
        sums = d(logp).where(mask, 0).sum(dim=1)
        return sums if total else sums / mask.sum(dim=1).clamp_min(1)

    return of(winner_logp, winner_mask) - of(loser_logp, loser_mask)


def _no_answer(losses: Tensor, *masks: Any) -> Tensor:
    for mask in masks:
        losses = losses if mask is None else losses.where(mask.any(dim=1), 0)
    return losses


def _simpo(got: Any, margin: Any, beta: float, winner_mask: Any = None, loser_mask: Any = None, **logp: Tensor) -> None:
    ahead = _ahead(**logp, winner_mask=winner_mask, loser_mask=loser_mask)
    agrees(got, _no_answer(softplus(d(margin) - beta * ahead), winner_mask, loser_mask), 1e-4)


def _hinge(got: Any, margin: Any, beta: float, winner_mask: Any = None, loser_mask: Any = None, **logp: Tensor) -> None:
    ahead = _ahead(**logp, winner_mask=winner_mask, loser_mask=loser_mask)
    agrees(got, _no_answer((d(margin) - beta * ahead).relu(), winner_mask, loser_mask), 1e-4)


def _dpo(got: Any, margin: Any, beta: float, winner_mask: Any = None, loser_mask: Any = None, **logp: Tensor) -> None:
    masks = {"winner_mask": winner_mask, "loser_mask": loser_mask}
    ahead = _ahead(logp["winner_logp"], logp["loser_logp"], **masks, total=True)
    before = _ahead(logp["reference_winner_logp"], logp["reference_loser_logp"], **masks, total=True)
    agrees(got, _no_answer(softplus(d(margin) - beta * (ahead - before)), winner_mask, loser_mask), 1e-4)


def _blended(got: Tensor, images: Tensor, partners: Tensor, ratio: Tensor, out: Any = None) -> None:
    weight = d(ratio).view(-1, 1, 1, 1)
    mixed = weight * d(images) + (1 - weight) * d(partners)
    require(got.dtype == images.dtype, f"dtype {got.dtype}")
    if images.dtype == torch.uint8:
        torch.testing.assert_close(got.double(), mixed.round(), rtol=0, atol=1)
    else:
        finite = mixed.isfinite()
        agrees(got.where(finite, 0), mixed.where(finite, 0))
        require(not got.where(~finite, torch.nan).isfinite().any(), "a finite mix of infinite pixels")


def _pasted(got: Tensor, images: Tensor, partners: Tensor, boxes: Tensor) -> None:
    require(got.shape == images.shape and got.dtype == images.dtype, "shape or dtype")
    for row, (top, bottom, left, right) in enumerate(() if got.is_meta else boxes.tolist()):
        inside = torch.zeros(images.shape[-2:], dtype=torch.bool)
        inside[top:bottom, left:right] = True
        torch.testing.assert_close(d(got[row][:, ~inside]), d(images[row][:, ~inside]), rtol=0, atol=0, equal_nan=True)
        if inside.any() and partners[row].isfinite().all() and d(partners[row]).abs().max() < 1e30:
            between(got[row][:, inside], d(partners[row]).min() - 1e-2, d(partners[row]).max() + 1e-2, "a pasted pixel")


def _targets(
    got: Tensor, labels: Tensor, index: Tensor, ratio: Tensor, num_classes: Any, smoothing: float, multi_label: bool
) -> None:
    rows = d(labels)
    if labels.ndim == 1:
        rows = torch.zeros(len(labels), num_classes, dtype=torch.float64, device=labels.device)
        rows.scatter_(1, labels.long()[:, None], 1)
    share = 0.5 if multi_label or rows.shape[1] == 1 else 1 / rows.shape[1]
    rows, weight = rows * (1 - smoothing) + smoothing * share, d(ratio).unsqueeze(1)
    agrees(got, weight * rows + (1 - weight) * rows[index.long()], 1e-5)


def _picked(logits: Tensor, labels: Tensor, bce: bool) -> Tensor:
    logp = logsigmoid(d(logits)) if bce else d(logits).log_softmax(dim=-1)
    return logp.gather(-1, labels.long().unsqueeze(-1)).squeeze(-1)


def _sequence(got: Tensor, logits: Tensor, tokens: Tensor, mask: Any) -> None:
    mask = tokens >= 0 if mask is None else mask
    known = tokens.long().clamp(0, logits.shape[2] - 1)
    agrees(got, _picked(logits.where(mask.unsqueeze(2), 0), known, False).where(mask, 0), 1e-5)


def _merged(got: Any, x: Tensor, plan: Any, size: Any) -> None:
    tokens, sizes = got
    size = torch.ones(x.shape[:2], dtype=torch.float64, device=x.device) if size is None else d(size)
    sums = (d(x) * size.unsqueeze(2)).sum(dim=1)
    agrees(sizes.sum(dim=1), size.sum(dim=1), 1e-5)
    if x.numel() and bool((size > 0).all()) and size.max() < 1e6 and d(x).abs().max() < 1e6:
        eps = max(torch.finfo(x.dtype).eps, torch.finfo(torch.float32).eps)  # sizes are float32
        agrees((d(tokens) * d(sizes).unsqueeze(2)).sum(dim=1), sums, 64 * eps)


def _recovered(got: Tensor, values: Tensor, source: Tensor) -> None:
    agrees(got, torch.stack([row[places] for row, places in zip(d(values), source.long(), strict=True)]))


def _composed(got: Tensor, plan: Any, source: Any) -> None:
    batch, length = plan.keep.shape[0], plan.keep.shape[1] + plan.source.shape[1]
    step = torch.zeros(batch, length, dtype=torch.int64)
    step.scatter_(1, plan.keep, torch.arange(plan.keep.shape[1]).expand(batch, -1))
    step.scatter_(1, plan.source, plan.target)
    agrees(got, step if source is None else step.gather(1, source.long()))


def _top(got: Tensor, saliency: Tensor, count: Tensor, noise: Tensor) -> None:
    require(got.shape == saliency.shape and got.dtype == torch.bool, "shape or dtype")
    require(torch.equal(got.flatten(1).sum(dim=1), count.long()), "another number of patches")
    values = d(saliency)
    lowest = values.masked_fill(~got, math.inf).flatten(1).amin(dim=1)
    highest = values.masked_fill(got, -math.inf).flatten(1).amax(dim=1)
    require(bool((lowest >= highest).all()), "not the most salient")


def _expanded(got: Tensor, mask: Tensor, height: int, width: int) -> None:
    y, x = torch.arange(height) * mask.shape[1] // height, torch.arange(width) * mask.shape[2] // width
    require(got.shape == (len(mask), 1, height, width) and got.dtype == mask.dtype, "shape or dtype")
    if not got.is_meta:
        # Not every torch indexes every dtype; every number of these fits into complex128.
        cells = mask.as_subclass(Tensor).to(torch.complex128)[:, y][:, :, x]
        require(torch.equal(got[:, 0].to(torch.complex128), cells), "another patch")


def _boxed(got: Tensor, boxes: Tensor, height: int, width: int) -> None:
    for row, (top, bottom, left, right) in enumerate(() if got.is_meta else boxes.tolist()):
        require(int((~got[row]).sum()) == (bottom - top) * (right - left), "another area")
    require(got.shape == (len(boxes), 1, height, width) and got.dtype == torch.bool, "shape or dtype")


def _gaussian(got: Tensor, area: Tensor, normal: Tensor) -> None:
    require(got.shape == area.shape, "shape")
    between(got, 0, 1, "a ratio")


def _attention(got: Tensor, saliency: Tensor, partner_saliency: Tensor, mask: Tensor) -> None:
    kept, other = ((d(s) * m).flatten(1).sum(1) for s, m in ((saliency, mask), (partner_saliency, ~mask)))
    share = mask.double().flatten(1).mean(dim=1)
    agrees(got, torch.where(kept + other > 0, kept / (kept + other), share), 1e-3)


def _softened(got: Tensor, masks: Tensor, num_classes: int, ignore_index: Any) -> None:
    wanted = torch.stack([masks == c for c in range(num_classes)], dim=1).double()
    ignored = torch.zeros_like(wanted) if ignore_index is None else (masks == ignore_index).unsqueeze(1).double()
    agrees(got, wanted * (1 - ignored))


def _visible(got: Any, boxes: Tensor, paste: Any, inside: bool) -> None:
    clipped, share = got
    require(clipped.shape == boxes.shape and share.shape == boxes.shape[:1], "shape")
    between(share, 0, 1, "a share")


def _bias(got: Any, size: Any, dtype: torch.dtype, proportional: bool) -> None:
    if size is None:
        require(got is None, "a bias of nothing")
    else:
        require(got.dtype == dtype and got.shape == (len(size), 1, 1, size.shape[1]), "shape or dtype")
        counts = d(size) if proportional else d(size).clamp_max(1)
        agrees(got[:, 0, 0], counts.log().clamp_min(torch.finfo(dtype).min))


MATCHING = {
    "bipartite_matching": Case(F.bipartite_matching, _keys, is_plan),
    "kth_matching": Case(F.kth_matching, lambda: {**_keys(), "k": 3}, is_plan),
    "pitome_matching": Case(F.pitome_matching, lambda: {**_keys(), "margin": 0.5}, is_plan),
    "random_matching": Case(F.random_matching, lambda: {**_keys(), "generator": None}, is_plan),
    "match": Case(F.match, lambda: {**_keys(), "matching": "pitome", "progress": 0.5, "generator": None}, is_plan),
    "MergePlan": Case(
        lambda **plan: F.merge_tokens(f(2, 9, 4), F.MergePlan(**plan)),
        lambda: _plan()._asdict(),
        lambda got, **plan: _merged(got, f(2, 9, 4), F.MergePlan(**plan), None),
        ("plan",),
    ),
    "merge_tokens": Case(
        F.merge_tokens, lambda: {"x": f(2, 9, 4), "plan": _plan(), "size": 1 + f(2, 9).abs()}, _merged
    ),
    "compose_source": Case(F.compose_source, lambda: {"plan": _plan(), "source": i(9, 2, 12)}, _composed),
    "recover": Case(
        F.recover,
        lambda: {"values": f(2, 3, 4), "source": i(3, 2, 5)},
        lambda got, values, source: agrees(
            got, torch.stack([v[s] for v, s in zip(d(values), source.long(), strict=True)])
        ),
    ),
    "log_size_bias": Case(
        F.log_size_bias, lambda: {"size": i(3, 2, 9).float(), "dtype": torch.float16, "proportional": True}, _bias
    ),
}
MIXING = {
    "area_ratio": Case(
        F.area_ratio,
        lambda: {"mask": f(2, 1, 4, 4) > 0},
        lambda got, mask: agrees(got, mask.double().mean(dim=(1, 2, 3))),
    ),
    "attention_ratio": Case(
        F.attention_ratio,
        lambda: {"saliency": spread(2, 3, 3), "partner_saliency": spread(2, 3, 3, seed=1), "mask": f(2, 3, 3) > 0},
        _attention,
    ),
    "gaussian_ratio": Case(
        F.gaussian_ratio, lambda: {"area": torch.tensor([0.2, 0.5, 1.0]), "normal": f(3)}, _gaussian
    ),
    "blend_images": Case(
        F.blend_images,
        lambda: {"images": f(3, 2, 4, 4), "partners": f(3, 2, 4, 4, seed=1), "ratio": torch.rand(3), "out": None},
        _blended,
    ),
    "mix_images": Case(
        F.mix_images,
        lambda: {"images": f(3, 2, 4, 4), "partners": f(3, 2, 4, 4, seed=1), "mask": f(3, 1, 4, 4) > 0, "out": None},
        lambda got, images, partners, mask, out: agrees(got, torch.where(mask, d(images), d(partners)), 0),
    ),
    "paste_resized": Case(
        F.paste_resized,
        lambda: {
            "images": f(3, 2, 8, 8),
            "partners": f(3, 2, 8, 8, seed=1),
            "boxes": torch.tensor([[0, 4, 2, 8], [1, 3, 1, 3], [0, 0, 0, 0]]),
        },
        _pasted,
    ),
    "mix_targets": Case(
        F.mix_targets,
        lambda: {
            "labels": i(5, 4),
            "index": torch.arange(3, -1, -1),
            "ratio": torch.rand(4),
            "num_classes": 5,
            "smoothing": 0.1,
            "multi_label": False,
        },
        _targets,
    ),
    "count_patches": Case(
        F.count_patches,
        lambda: {"lam": torch.rand(4, dtype=torch.float64), "length": 9},
        lambda got, lam, length: torch.testing.assert_close(
            d(got), (d(lam) * length + 0.5).floor(), rtol=0, atol=0 if lam.dtype == torch.float64 else 1
        ),
    ),
    "top_mask": Case(
        F.top_mask,
        lambda: {"saliency": spread(2, 3, 3), "count": torch.tensor([3, 9]), "noise": torch.rand(2, 9)},
        _top,
    ),
    "expand_mask": Case(F.expand_mask, lambda: {"mask": f(2, 2, 2) > 0, "height": 5, "width": 4}, _expanded),
    "box_mask": Case(
        F.box_mask, lambda: {"boxes": torch.tensor([[0, 2, 1, 3], [1, 4, 0, 0]]), "height": 4, "width": 3}, _boxed
    ),
    "soft_masks": Case(
        F.soft_masks, lambda: {"masks": i(3, 2, 4, 4), "num_classes": 3, "ignore_index": 255}, _softened
    ),
    "visible_boxes": Case(
        F.visible_boxes,
        lambda: {"boxes": torch.tensor([[0.0, 1, 4, 5], [2, 2, 6, 7]]), "paste": (1, 1, 5, 4), "inside": False},
        _visible,
    ),
}
PAIRS = {
    "simpo_loss": Case(F.simpo_loss, _tokens, _simpo),
    "hinge_loss": Case(F.hinge_loss, lambda: {**_logp(), "margin": torch.rand(4), "beta": 1.0}, _hinge),
    "dpo_loss": Case(
        F.dpo_loss,
        lambda: _tokens() | {"reference_winner_logp": -f(4, 3, seed=2).abs(), "reference_loser_logp": -f(4, 3).abs()},
        _dpo,
    ),
    "label_logp": Case(
        F.label_logp,
        lambda: {"logits": f(4, 5), "labels": i(5, 4), "bce": False},
        lambda got, logits, labels, bce: agrees(got, _picked(logits, labels, bce), 1e-5),
    ),
    "sequence_logp": Case(
        F.sequence_logp, lambda: {"logits": f(2, 3, 5), "tokens": i(5, 2, 3), "mask": f(2, 3) > -1}, _sequence
    ),
}
FUNCTIONS = {f"functional.{name}": case for name, case in {**MATCHING, **MIXING, **PAIRS}.items()}


def _probs() -> dict[str, Any]:
    return {"probs": f(6, 4).softmax(dim=1), "labels": i(4, 6)}


def _brier(got: Tensor, probs: Tensor, labels: Tensor, **_: Any) -> None:
    wanted = torch.eye(probs.shape[1], dtype=torch.float64)[labels.long()]
    agrees(got, (d(probs) - wanted).square().sum(dim=1).mean(), 1e-3)


def _calibrated(got: Tensor, probs: Tensor, **_: Any) -> None:
    require(got.ndim == 0, "no scalar")
    if len(probs) and not probs.isnan().any():
        between(got, 0, 1, "an error")


def _won(got: Tensor, winner_logp: Tensor, loser_logp: Tensor, valid: Any = None, **_: Any) -> None:
    points = (d(winner_logp) > d(loser_logp)).double() + 0.5 * (d(winner_logp) == d(loser_logp)).double()
    points = points.masked_fill(winner_logp.isnan() | loser_logp.isnan(), math.nan)
    agrees(got, points.mean() if valid is None else points[valid].mean(), 1e-5)


def _reward(got: Tensor, winner_logp: Tensor, loser_logp: Tensor, beta: float = 1.0, valid: Any = None) -> None:
    if beta > 1e30:  # too large for float32
        return
    ahead = beta * (d(winner_logp) - d(loser_logp))
    agrees(got, ahead.mean() if valid is None else ahead[valid].mean(), 1e-4)


def _updated(name: str, *options: str) -> Any:
    def call(**given: Any) -> Tensor:
        metric = getattr(M, name)(**{option: given.pop(option) for option in options})
        metric.update(**given)
        return metric.compute()

    return call


def _valid() -> dict[str, Any]:
    return {**_logp(), "valid": torch.tensor([True, False, True, True])}


METRICS = {
    "metrics.brier_score": Case(M.brier_score, _probs, _brier),
    "metrics.BrierScore": Case(_updated("BrierScore"), _probs, _brier),
    "metrics.calibration_error": Case(
        M.calibration_error, lambda: {**_probs(), "bins": 5, "binning": "mass", "norm": "l2"}, _calibrated
    ),
    "metrics.CalibrationError": Case(
        _updated("CalibrationError", "bins", "binning", "norm"),
        lambda: {**_probs(), "bins": 5, "binning": "width", "norm": "l1"},
        _calibrated,
    ),
    "metrics.fit_temperature": Case(
        M.fit_temperature,
        lambda: {"logits": f(6, 4), "labels": i(4, 6)},
        lambda got, **_: require(math.isnan(got) or 0.01 <= got <= 100.001, "no temperature"),
    ),
    "metrics.preference_accuracy": Case(M.preference_accuracy, _valid, _won),
    "metrics.PreferenceAccuracy": Case(_updated("PreferenceAccuracy"), _valid, _won),
    "metrics.reward_margin": Case(M.reward_margin, lambda: {**_valid(), "beta": 2.0}, _reward),
    "metrics.RewardMargin": Case(_updated("RewardMargin", "beta"), lambda: {**_valid(), "beta": 2.0}, _reward),
    "metrics.rank_correlation": Case(
        M.rank_correlation,
        lambda: {"a": f(6), "b": f(6, seed=1)},
        lambda got, a, b: require(math.isnan(got) or abs(got) <= 1, "no correlation"),
    ),
}
