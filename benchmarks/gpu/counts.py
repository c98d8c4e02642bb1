"""What can be counted without a GPU: kernels, and operations for which the host waits, of each part of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import timm
import torch
from torch import Tensor, nn

from timm_mergemix.merge.matching.names import MATCHINGS
from timm_mergemix.merge.patch import patch
from timm_mergemix.mix.batch import MixedBatch
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.loss import SoftTargetLoss
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.mixers.mixup import Mixup
from timm_mergemix.mixers.registry import create_mixer
from timm_mergemix.saliency.choose import saliency_map

from ..records import Record
from .counting import Counts, count

__all__ = ["count_all"]

DEVICE = "meta"
BATCH, R = 8, 13


def count_all() -> Iterator[Record]:
    """A record for each part."""
    for matching in (None, *MATCHINGS):
        for backward in (False, True):
            few, many = (_pass(depth, matching, backward) for depth in (3, 4))
            part = f"a block, {'forward and backward' if backward else 'forward'}, {matching or 'unpatched'}"
            yield _record(part, many.launched - few.launched, many)
    images = torch.empty(BATCH, 3, 224, 224, device=DEVICE)
    labels = torch.zeros(BATCH, dtype=torch.int64, device=DEVICE)
    encoder = _model(4)
    yield _counted("a saliency pass of 3 blocks", lambda: saliency_map(encoder, images, r=("keep", 0.5)))
    for mode in MixConfig.options()["mode"].choices:
        for ratio_mode in MixConfig.options()["ratio_mode"].choices:
            mixer = MergeMix(encoder, 10, mergemix_prob=1.0, mode=mode, ratio_mode=ratio_mode)
            yield _counted(f"MergeMix, ratio by {ratio_mode}, by {mode}", partial(mixer, images, labels))
        for name in ("mixup", "cutmix", "resizemix"):
            peer = create_mixer(name, num_classes=10, mode=mode)
            yield _counted(f"{name}, by {mode}", partial(peer, images, labels))
    batch, logits = Mixup(num_classes=10).mix(images, labels), torch.empty(BATCH, 10, device=DEVICE, requires_grad=True)
    for bce in (False, True):
        loss = SoftTargetLoss(bce=bce)
        title = f"SoftTargetLoss, {'binary' if bce else 'categorical'}, forward and backward"
        yield _counted(title, partial(_derive, loss, logits, batch))


def _model(depth: int, matching: str | None = None) -> nn.Module:
    model = timm.create_model("deit_tiny_patch16_224", depth=depth, num_classes=10).to(DEVICE)
    return model if matching is None else patch(model, R, matching=matching)


def _pass(depth: int, matching: str | None, backward: bool) -> Counts:
    model, images = _model(depth, matching), torch.empty(BATCH, 3, 224, 224, device=DEVICE)
    with torch.set_grad_enabled(backward):
        return count(lambda: model(images).sum().backward() if backward else model(images))


def _derive(loss: nn.Module, logits: Tensor, batch: MixedBatch) -> None:
    loss(logits, batch).backward()


def _counted(part: str, call: Callable[[], object]) -> Record:
    counts = count(call)
    return _record(part, counts.launched, counts)


def _record(part: str, kernels: int, counts: Counts) -> Record:
    waits = {"synchronisations": counts.synchronisations, "copies": len(counts.copies)}
    return {"kind": "count", "row": part, "arm": "this library", "kernels": kernels, **waits}
