"""The steps that are timed: inference, training and mixing, with models as users have them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.loss import SoftTargetCrossEntropy
from torch import Tensor, nn

from timm_mergemix.merge.patch import patch
from timm_mergemix.merge.schedule import R
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.tune.timing import Step

from .ideal import make_ideal
from .reference import patch_as_published

__all__ = ["Mix", "Setting", "infer", "loss_of", "make_batch", "make_models", "mergemix", "mix_and_train", "train"]

CLASSES = 1000
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Setting(NamedTuple):
    """The model, the inputs and the device of a measurement.

    Attributes:
        model: Name of a timm model of plain blocks.
        batch: Images per step.
        r: Token merging in any form that `patch` takes.
        size: Side of the images in pixels.
        autocast: Whether steps run under bfloat16 autocast.
        compiled: Whether models are compiled.
        device: The device on which steps run.
        reference: Folder of the published token merging, for `patch_as_published`; None leaves it out.
    """

    model: str
    batch: int
    r: R
    size: int = 224
    autocast: bool = False
    compiled: bool = False
    device: torch.device = torch.device("cpu")
    reference: Path | None = None

    def context(self) -> AbstractContextManager[Any]:
        """Returns the autocast context of a step."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def create(self) -> nn.Module:
        """Builds timm's model, with the same random weights each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return timm.create_model(self.model, img_size=self.size, num_classes=CLASSES).to(self.device)


def make_batch(setting: Setting) -> tuple[Tensor, Tensor]:
    """Returns random images and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(setting.batch, 3, setting.size, setting.size, generator=generator)
    return images.to(setting.device), torch.arange(setting.batch, device=setting.device) % CLASSES


def make_models(setting: Setting, training: bool) -> dict[str, nn.Module]:
    """The model merged by this library, the ideal, the unpatched model, and the published merging if available."""
    models = {
        "merged": patch(setting.create(), setting.r),
        "ideal": make_ideal(setting.create(), setting.r),
        "unpatched": setting.create(),
    }
    if setting.reference is not None:
        models["published"] = patch_as_published(setting.create(), setting.r, setting.reference)
    models = {name: model.train(training) for name, model in models.items()}
    if not setting.compiled:
        return models
    return {name: torch.compile(model) for name, model in models.items()}  # type: ignore[misc]


def infer(setting: Setting, model: nn.Module) -> Step:
    """Returns a step that runs a forward pass without gradients."""
    images, _ = make_batch(setting)

    def step() -> None:
        with torch.inference_mode(), setting.context():
            model(images)

    return step


def loss_of(setting: Setting, model: nn.Module) -> Callable[[], Tensor]:
    """Returns a function that runs a forward pass with gradients and returns the loss."""
    images, labels = make_batch(setting)

    def loss() -> Tensor:
        with setting.context():
            return nn.functional.cross_entropy(model(images), labels)

    return loss


def train(setting: Setting, model: nn.Module) -> Step:
    """Returns a step that runs a forward and a backward pass."""
    loss = loss_of(setting, model)

    def step() -> None:
        model.zero_grad()
        loss().backward()

    return step


def mix_and_train(setting: Setting, model: nn.Module, mix: Mix) -> Step:
    """Returns a step that mixes a batch and runs the forward pass, the backward pass and the optimizer.

    Args:
        setting: The setting, which has the batch size.
        model: The model in training.
        mix: A mixer that is called like timm's Mixup; it may change its images in place.
    """
    model.train()
    images, labels = make_batch(setting)
    criterion, optimizer = SoftTargetCrossEntropy(), torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        mixed, targets = mix(images, labels)
        with setting.context():
            loss = criterion(model(mixed), targets)
        loss.backward()
        optimizer.step()

    return step


def mergemix(encoder: nn.Module, r: R, scale: float = 1.0) -> MergeMix:
    """MergeMix for every batch, with merging in its saliency pass and images at ``scale`` of their size."""
    return MergeMix(encoder, CLASSES, mergemix_prob=1.0, saliency_r=r, saliency_scale=scale)
