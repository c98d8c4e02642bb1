"""The table: what is compared with what, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from timm.data import Mixup as TimmMixup

from timm_mergemix.merge.patch import patch
from timm_mergemix.merge.schedule import R
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.tune.timing import Step

from .steps import CLASSES, Setting, infer, make_batch, make_models, mergemix, mix_and_train, train

__all__ = ["Comparison", "Pass", "Row", "all_rows"]

# Model, batch, and the wanted ratios to the ideal: inference, training.
SIZES = (
    ("deit_tiny_patch16_224", 32, 1.10, 1.05),
    ("deit_small_patch16_224", 16, 1.06, 1.03),
    ("vit_base_patch16_224", 8, 1.04, 1.03),
)


class Pass(NamedTuple):
    """Settings of a saliency pass.

    Attributes:
        r: Token merging.
        scale: Share of the images' height and width.
    """

    r: R
    scale: float = 1.0


# A saliency pass needs the order of patches and no features: a quarter of the pixels tell it.
SMALL = Pass(("keep", 0.5), 0.5)


class Comparison(NamedTuple):
    """One step over another.

    Attributes:
        above: Name of the one.
        below: Name of the other.
        wanted: The ratio that is to be reached; None where it is shown only.
    """

    above: str
    below: str
    wanted: float | None = None


class Row(NamedTuple):
    """Steps that are measured together.

    Attributes:
        name: What they are steps of.
        make: Makes them; models are built here.
        comparisons: What is read off.
    """

    name: str
    make: Callable[[], dict[str, Step]]
    comparisons: tuple[Comparison, ...]


def all_rows(device: torch.device, r: R = 13, reference: Path | None = None) -> Iterator[Row]:
    """All rows of the table.

    Args:
        device: Where steps run.
        r: Token merging.
        reference: See `Setting`.
    """
    for name, batch, inference, training in SIZES:
        setting = Setting(name, batch, r, device=device, reference=reference)
        yield over_ideal("inference", setting, inference)
        yield over_ideal("training", setting, training)
    small = Setting("deit_small_patch16_224", 16, r, device=device)
    # Most CPUs compute in bfloat16 many times slower than in float32.
    half = small._replace(autocast=True, batch=4 if device.type == "cpu" else 16)
    yield over_ideal("inference", half, 1.06 * 1.1)
    yield over_ideal("training", half, 1.03 * 1.1)
    yield over_ideal("inference", small._replace(size=448, batch=4), 1.06)
    yield over_ideal("inference", small._replace(compiled=True), 1.08)
    base = Setting("vit_base_patch16_224", 8, r, device=device)
    for saliency in (Pass(r), SMALL):
        yield whole_step(small, saliency, 0.72)
        if r != 16:
            yield whole_step(small._replace(r=16), Pass(16) if saliency == Pass(r) else SMALL, 0.62)
        yield unmerged_step(small, saliency, 1.15)
        yield other_encoder_step(base, saliency, 1.04)
    for mode, wanted in (("batch", 1.3), ("pair", 1.0), ("elem", 1.0)):
        yield mixing(device, mode, wanted)


def over_ideal(kind: str, setting: Setting, wanted: float | None) -> Row:
    """A merged model over the ideal, and over the model as it is."""

    def make() -> dict[str, Step]:
        models = make_models(setting, training=kind == "training")
        return {name: (infer if kind == "inference" else train)(setting, model) for name, model in models.items()}

    shown = [Comparison("merged", "unpatched"), Comparison("ideal", "unpatched")]
    if setting.reference is not None:
        shown.append(Comparison("published", "ideal"))
    return Row(f"{kind}, {describe(setting)}", make, (Comparison("merged", "ideal", wanted), *shown))


def whole_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """Saliency pass, mix and merged training over timm's Mixup on the unpatched model."""

    def ours() -> Step:
        model = patch(setting.create(), setting.r)
        return mix_and_train(setting, model, mergemix(model, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)}", setting, ours, wanted)


def unmerged_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """The same with merging in the saliency pass alone."""
    setting = setting._replace(r=0)

    def ours() -> Step:
        model = setting.create()
        return mix_and_train(setting, model, mergemix(model, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)}", setting, ours, wanted)


def other_encoder_step(setting: Setting, saliency: Pass, wanted: float | None) -> Row:
    """Unmerged training on mixes by the attention of a frozen deit_tiny."""
    setting = setting._replace(r=0)

    def ours() -> Step:
        encoder = timm.create_model("deit_tiny_patch16_224").to(setting.device).requires_grad_(False).eval()
        return mix_and_train(setting, setting.create(), mergemix(encoder, *saliency))

    return _over_mixup(f"MergeMix step, {_describe_pass(saliency)} of deit_tiny", setting, ours, wanted)


def mixing(device: torch.device, mode: str, wanted: float | None) -> Row:
    """Mask, pixels and targets alone, for a given saliency, over timm's Mixup."""

    def make() -> dict[str, Step]:
        setting = Setting("deit_tiny_patch16_224", 64, 0, device=device)
        images, labels = make_batch(setting)
        saliency = torch.rand(64, 14, 14, device=device)
        ours: Mixer = mergemix(setting.create(), 0)
        ours.mode = mode
        theirs = TimmMixup(mixup_alpha=0.8, mode=mode, num_classes=CLASSES)
        return {
            "MergeMix": lambda: ours.mix(images, labels, saliency).targets,
            "timm's Mixup": partial(theirs, images, labels),
        }

    return Row(
        f"mixing alone, mode {mode}, 64 x 3 x 224 x 224", make, (Comparison("MergeMix", "timm's Mixup", wanted),)
    )


def _over_mixup(title: str, setting: Setting, ours: Callable[[], Step], wanted: float | None) -> Row:
    def make() -> dict[str, Step]:
        mixup = TimmMixup(mixup_alpha=0.8, num_classes=CLASSES)
        return {"MergeMix": ours(), "Mixup, unpatched": mix_and_train(setting, setting.create(), mixup)}

    return Row(f"{title}, {describe(setting)}", make, (Comparison("MergeMix", "Mixup, unpatched", wanted),))


def _describe_pass(saliency: Pass) -> str:
    return f"saliency pass r={_words(saliency.r)}" + f" at {saliency.scale:g} of the size" * (saliency.scale != 1)


def _words(r: R) -> str:
    return ":".join(map(str, r)) if isinstance(r, tuple) and isinstance(r[0], str) else str(r)


def describe(setting: Setting) -> str:
    """A setting in words."""
    words = [setting.model, f"batch {setting.batch}", f"r={_words(setting.r)}", f"{setting.size} px"]
    words += ["bf16 autocast"] * setting.autocast + ["compiled"] * setting.compiled
    return ", ".join(words)
