"""Steps that are timed on a GPU: inference and training in each way to run a model, and mixing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from timm.data import Mixup as TimmMixup
from torch import Tensor, nn

from timm_mergemix.merge.patch import patch
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.tune.timing import Step

from ..speed.reference import patch_as_published
from .folded import folding

__all__ = ["ARMS", "MIXERS", "WAYS", "Model", "arm", "batch_of", "captured", "infer", "mix", "train"]

CLASSES = 1000
ARMS = ("unpatched", "merged", "merged, folded bias", "published")
MIXERS = ("timm's Mixup", "MergeMix")
WAYS = ("eager", "compiled", "graphs", "captured")


class Model(NamedTuple):
    """What is measured.

    Attributes:
        name: Of timm.
        size: Side of the images in pixels.
        r: Tokens that merge in each block.
        options: Further options of ``timm.create_model``.
    """

    name: str
    size: int
    r: int
    options: tuple[tuple[str, int], ...] = ()

    def create(self, device: torch.device) -> nn.Module:
        """The model with random weights, the same ones each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = timm.create_model(self.name, img_size=self.size, num_classes=CLASSES, **dict(self.options))
        return model.to(device)


def arm(name: str, model: Model, device: torch.device, published: Path | None) -> nn.Module:
    """The model of an arm."""
    made = model.create(device)
    if name in ("unpatched", MIXERS[0]):
        return made
    if name == "published" and published is not None:
        return patch_as_published(made, model.r, published)
    return patch(made, model.r)


def batch_of(model: Model, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Noise and labels."""
    images = torch.randn(batch, 3, model.size, model.size, generator=torch.Generator().manual_seed(1))
    return images.to(device), torch.arange(batch, device=device) % CLASSES


def run_by(way: str, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """A model as it runs in a way."""
    if way == "compiled":
        return torch.compile(model, fullgraph=True)
    if way == "graphs":
        return torch.compile(model, fullgraph=True, mode="reduce-overhead")
    return model


def infer(name: str, model: nn.Module, images: Tensor, way: str) -> Step:
    """A forward pass without gradients, all in bfloat16."""
    run, images = run_by(way, model.eval().bfloat16()), images.bfloat16()

    @torch.inference_mode()
    def step() -> None:
        run(images)

    made = folded(step) if "folded" in name else step
    return captured(made) if way == "captured" else made


def train(name: str, model: nn.Module, images: Tensor, labels: Tensor, way: str) -> Step:
    """Forward pass, backward pass and optimizer under bfloat16 autocast."""
    run = run_by(way, model.train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=images.device.type == "cuda")

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16):
            loss = nn.functional.cross_entropy(run(images), labels)
        loss.backward()
        optimizer.step()

    return folded(step) if "folded" in name else step


def mix(name: str, model: nn.Module, images: Tensor, labels: Tensor, whole: bool) -> Step:
    """Mixing by timm's Mixup or by MergeMix; with the training step on the mix if it is whole."""
    theirs = TimmMixup(mixup_alpha=0.8, num_classes=CLASSES)
    mixer = theirs if name == MIXERS[0] else MergeMix(model, CLASSES, mergemix_prob=1.0)
    if not whole:
        return lambda: mixer(images, labels)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-6, fused=images.device.type == "cuda")

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16):
            mixed, targets = mixer(images, labels)
            loss = nn.functional.cross_entropy(model(mixed), targets)
        loss.backward()
        optimizer.step()

    return step


def folded(step: Step) -> Step:
    """A step whose attention folds the bias."""

    def run() -> None:
        with folding():
            step()

    return run


def captured(step: Step) -> Step:
    """A step as a CUDA graph, captured once by hand."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
