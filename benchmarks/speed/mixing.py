"""Rows that compare training steps with MergeMix, and mixing alone, with timm's Mixup."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import timm
import torch
from timm.data import Mixup as TimmMixup

from timm_mergemix.merge.patch import patch
from timm_mergemix.merge.schedule import R
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.tune.timing import Step

from .row import Comparison, Row, describe, r_in_words
from .steps import CLASSES, Setting, make_batch, mergemix, mix_and_train

__all__ = [
    "MERGEMIX",
    "SMALL",
    "TIMM_MIXUP",
    "UNPATCHED_MIXUP",
    "Pass",
    "mixing",
    "other_encoder_step",
    "unmerged_step",
    "whole_step",
]

# Names of steps.
MERGEMIX, TIMM_MIXUP, UNPATCHED_MIXUP = "MergeMix", "timm's Mixup", "Mixup, unpatched"


class Pass(NamedTuple):
    """Settings of a saliency pass.

    Attributes:
        r: Token merging.
        scale: Share of the images' height and width.
    """

    r: R
    scale: float = 1.0


# A saliency pass only needs the order of patches, for which a quarter of the pixels is enough.
SMALL = Pass(("keep", 0.5), 0.5)


def whole_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """Compares saliency pass, mix and merged training with timm's Mixup on the unpatched model."""

    def ours() -> Step:
        model = patch(setting.create(), setting.r)
        return mix_and_train(setting, model, mergemix(model, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)}", setting, ours, wanted)


def unmerged_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """Makes the same comparison with merging only in the saliency pass."""
    setting = setting._replace(r=0)

    def ours() -> Step:
        model = setting.create()
        return mix_and_train(setting, model, mergemix(model, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)}", setting, ours, wanted)


def other_encoder_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """Compares unmerged training on mixes made with the attention of a frozen deit_tiny."""
    setting = setting._replace(r=0)

    def ours() -> Step:
        encoder = timm.create_model("deit_tiny_patch16_224").to(setting.device).requires_grad_(False).eval()
        return mix_and_train(setting, setting.create(), mergemix(encoder, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)} of deit_tiny", setting, ours, wanted)


def mixing(device: torch.device, mode: str, wanted: float | None) -> Row:
    """Compares only mask, pixels and targets, for a given saliency, with timm's Mixup."""

    def make() -> dict[str, Step]:
        setting = Setting("deit_tiny_patch16_224", 64, 0, device=device)
        images, labels = make_batch(setting)
        saliency = torch.rand(64, 14, 14, device=device)
        ours: Mixer = mergemix(setting.create(), 0)
        ours.mode = mode
        theirs = TimmMixup(mixup_alpha=0.8, mode=mode, num_classes=CLASSES)
        return {
            MERGEMIX: lambda: ours.mix(images, labels, saliency).targets,
            TIMM_MIXUP: partial(theirs, images, labels),
        }

    return Row(f"mixing alone, mode {mode}, 64 x 3 x 224 x 224", make, (Comparison(MERGEMIX, TIMM_MIXUP, wanted),))


def _over_mixup(title: str, setting: Setting, ours: Callable[[], Step], wanted: float | None) -> Row:
    def make() -> dict[str, Step]:
        mixup = TimmMixup(mixup_alpha=0.8, num_classes=CLASSES)
        return {MERGEMIX: ours(), UNPATCHED_MIXUP: mix_and_train(setting, setting.create(), mixup)}

    return Row(f"{title}, {describe(setting)}", make, (Comparison(MERGEMIX, UNPATCHED_MIXUP, wanted),))


def _describe_pass(saliency: Pass) -> str:
    return f"saliency pass r={r_in_words(saliency.r)}" + f" at {saliency.scale:g} of the size" * (saliency.scale != 1)
