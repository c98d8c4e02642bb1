"""The code of how-to pages as modules, and tiny models and data for them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import timm_mergemix as mm

PAGES = Path(__file__).parents[2] / "docs" / "guide"
NUM_CLASSES = 5
SIZE = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 48, "num_heads": 3}
R = 2


def recipe(page: str, folder: Path) -> ModuleType:
    """A page as a module in a file, so that other processes find its classes too, if ``folder`` is in their path."""
    name = f"recipe_{page.replace('-', '_')}"
    path = folder / f"{name}.py"
    path.write_text(
        "\n\n".join(re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), flags=re.DOTALL))
    )
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def tiny(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", num_classes=NUM_CLASSES, **SIZE)


def mix_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every recipe mix all batches; by default half of them stay plain."""
    known = mm.MergeMix.recipe
    mixed = {"prob": 1.0, "cutmix_alpha": 1.0}
    monkeypatch.setattr(mm.MergeMix, "recipe", staticmethod(lambda name: {**known(name), **mixed}))


class Samples(Dataset):
    """Random images and labels."""

    def __init__(self, length: int = 16) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(length, 3, 32, 32, generator=generator)
        self.labels = torch.arange(length) % NUM_CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


class Coloured(Samples):
    """Noise in a colour of its own for each class, which a short training can learn; another seed draws other noise."""

    COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))

    def __init__(self, length: int = 80, seed: int = 1) -> None:
        self.labels = torch.arange(length) % NUM_CLASSES
        noise = torch.randn(length, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        self.images = noise + torch.tensor(self.COLOURS)[self.labels].view(length, 3, 1, 1)


class NamedSamples(Samples):
    """The same as the Trainer wants them."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image, label = super().__getitem__(index)
        return {"pixel_values": image, "labels": label}


class NamedColoured(NamedSamples, Coloured):
    """The same as the Trainer wants them."""


class Pass(NamedTuple):
    training: bool
    clean: bool
    merges: tuple[int, ...]


def watch(model: nn.Module) -> list[Pass]:
    """The forward passes that a patched timm model will run on `Samples`, the short ones for saliency left out."""
    passes: list[Pass] = []

    def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        own = Samples().images
        clean = all(any(torch.equal(image, other) for other in own) for image in args[0])
        passes.append(Pass(module.training, clean, mm.merge_info(module).merges))

    model.register_forward_pre_hook(see)
    return passes


def check_passes(passes: list[Pass], training: tuple[int, ...], evaluation: tuple[int, ...]) -> None:
    """Only training passes are mixed, but for the few whose ratio is 1; and tokens merge as they should."""
    train, others = ([p for p in passes if p.training is flag] for flag in (True, False))
    assert sum(not p.clean for p in train) > len(train) / 2
    assert {p.merges for p in train} == {training}
    assert {(p.clean, p.merges) for p in others} == {(True, evaluation)}


def weights_differ(model: nn.Module, other: nn.Module) -> list[str]:
    theirs = other.state_dict()
    return [name for name, value in model.state_dict().items() if not torch.equal(value, theirs[name])]
