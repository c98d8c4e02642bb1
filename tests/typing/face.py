"""The public face as a user's type checker sees it. Checked by mypy --strict, never run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import assert_type

import timm_mergemix as mm


class Net(nn.Module):
    """Stands for a user's model."""


def merging(model: Net, images: Tensor) -> None:
    assert_type(mm.patch(model, r=13), Net)  # the class is kept
    mm.patch(model, ("decreasing", 13), matching="pitome", blocks="encoder.layers", prefix_tokens=1)
    mm.patch(model, [1, 2, 3])
    assert_type(mm.unpatch(model), Net)
    assert_type(mm.merge_info(model).tokens, tuple[int, ...])
    with mm.merging(model, r=("keep", 0.5)) as merged:
        assert_type(merged, Net)
    with mm.record(model) as kept:
        model(images)
    assert_type(kept.layers[0].source, Tensor)
    assert_type(mm.supported("deit_tiny_patch16_224").reason, str | None)
    assert_type(mm.tune_r(model, 2.0)[0].speedup, float)
    assert_type(mm.saliency_map(model, images, layer="pool", r=8, scale=0.5), Tensor)


def mixing(model: Net, images: Tensor, labels: Tensor) -> None:
    mixer = mm.MergeMix(model, num_classes=10, saliency_r=("keep", 0.5), generator=torch.Generator())
    assert_type(mixer(images, labels), tuple[Tensor, Tensor])
    batch = mixer.mix(images, labels)
    assert_type(batch, mm.MixedBatch)
    assert_type(batch.ratio, Tensor)
    assert_type(batch.mask, Tensor | None)
    criterion = mm.SoftTargetLoss(smoothing=0.1)
    assert_type(criterion(model(images), batch), Any)  # nn.Module's call
    assert_type(mm.create_mixer("cutmix", num_classes=10), mm.Mixer)
    assert_type(mm.list_mixers(), list[str])
    mm.transforms.MergeMix(model, num_classes=10)


@mm.register_mixer("typed")
def typed(num_classes: int = 10) -> mm.Mixer:
    return mm.Mixup(num_classes=num_classes)


def preferring(model: Net, images: Tensor, labels: Tensor) -> None:
    step = mm.PreferenceStep(model, mm.MergeMix(model), mm.PreferenceLoss(beta=1.0, gamma=1.0, weight=1.0))
    output = step(images, labels)
    assert_type(output.terms.total, Tensor)
    assert_type(mm.simpo_loss(labels.float(), labels.float(), 0.5, 1.0), Tensor)


def measuring(probs: Tensor, labels: Tensor, out: Path) -> None:
    assert_type(mm.metrics.calibration_error(probs, labels), Tensor)
    mm.viz.reliability_diagram({"model": (probs, labels)}).savefig(out)


typed_still = assert_type(typed(3), mm.Mixer)
