"""A tiny model of each family with images for it, for the programs that call a model thousands of times."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionVit

from timm_mergemix.merge.families import is_old

from .census.inputs import Input, padded
from .census.redraw import redraw

CLASSES = 10
WIDTH = 32
HEADS = 2
DEPTH = 3
RECOMPILE_LIMIT = 32


class Held(nn.Module):
    """A user's own module that holds timm's blocks; nothing else about it is known."""

    num_prefix_tokens = 0

    def __init__(self) -> None:
        super().__init__()
        self.embed = PatchEmbed(64, 16, 3, WIDTH)
        self.layers = nn.ModuleList([Block(WIDTH, HEADS, qkv_bias=True) for _ in range(DEPTH)])
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (B, 3, 64, 64) to logits (B, classes)."""
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(dim=1))


@dataclass(frozen=True)
class Family:
    """A tiny model and the inputs that it takes.

    Attributes:
        name: Its name in timm; or ``torchvision``, ``held``, or the name of a class of transformers.
        options: Arguments for timm.
        sizes: Side lengths in pixels of the images that it takes.
        checkpointing: Whether its blocks are checkpointed.
        padded: Whether it also takes padded batches.
        compiled: Whether it is called through `torch.compile`.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] = (64,)
    checkpointing: bool = False
    padded: bool = False
    compiled: bool = False

    def is_known(self) -> bool:
        """Whether the installed release of timm or transformers has the model."""
        if self.name in TRANSFORMERS:
            return has_transformers()
        return self.name in ("torchvision", "held") or timm.is_model(self.name)

    def build(self) -> nn.Module:
        """Builds the model in eval mode, without dropout and with the same parameters at each call."""
        torch.manual_seed(0)
        model: Any = redraw(self._create()).eval()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if self.checkpointing:
            model.set_grad_checkpointing()
        return model

    def inputs(self, seed: int) -> list[Input]:
        """Returns an input of each size and form, with values drawn from a seed."""
        generator = torch.Generator().manual_seed(seed)
        found: list[Input] = [torch.rand(2, 3, size, size, generator=generator) for size in self.sizes]
        if self.padded:
            batch = padded(self.build())
            found.append(batch | {"patches": batch["patches"].roll(1 + seed, dims=2)})
        return found

    def _create(self) -> nn.Module:
        if self.name == "held":
            return Held()
        if self.name in TRANSFORMERS:
            return _of_transformers(self.name)
        if self.name == "torchvision":
            return TorchvisionVit(64, 16, DEPTH, HEADS, WIDTH, 2 * WIDTH, num_classes=CLASSES)
        sizes = {"img_size": 64, "embed_dim": WIDTH, "num_heads": HEADS, "depth": DEPTH, "num_classes": CLASSES}
        options = sizes | self.options
        return timm.create_model(self.name, **{name: value for name, value in options.items() if value is not None})


def has_transformers() -> bool:
    """Whether a supported release of transformers is installed."""
    return find_spec("transformers") is not None and not is_old(import_module("transformers"))


def _of_transformers(name: str) -> nn.Module:
    """A classifier of transformers that returns only its logits."""
    transformers = import_module("transformers")
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": DEPTH, "intermediate_size": WIDTH}
    sizes |= {"image_size": 64, "patch_size": 16}
    config: Any = getattr(transformers, TRANSFORMERS[name])
    given = {"vision_config": sizes, "text_config": {"num_hidden_layers": 1}} if name.startswith("CLIP") else sizes
    plain: Any = getattr(transformers, name)
    logits = type("Logits", (plain,), {"forward": lambda self, x: plain.forward(self, x).logits})
    return logits(config(num_labels=CLASSES, **given))


# Classifiers of transformers, each with its config.
TRANSFORMERS = {"ViTForImageClassification": "ViTConfig", "CLIPForImageClassification": "CLIPConfig"}

_VIT = "vit_tiny_patch16_224"
_ANY_SIZE = {"dynamic_img_size": True}
_GEMMA = {"img_size": 96, "head_dim": 16, "intermediate_size": 64}

FAMILIES: dict[str, Family] = {
    "vit": Family(_VIT),
    "vit, any size": Family(_VIT, _ANY_SIZE, sizes=(64, 96)),
    "vit, checkpointing": Family(_VIT, checkpointing=True),
    "vit, compiled": Family(_VIT, compiled=True),
    "vit, attention pool": Family("vit_base_patch16_siglip_224"),
    "vit, parallel": Family("vit_base_patch16_xp_224"),
    "differential": Family("vit_dlittle_patch16_reg1_gap_256"),
    "eva": Family("eva02_tiny_patch14_224", {"img_size": 56}, sizes=(56,)),
    "rope": Family("vit_small_patch16_rope_224", _ANY_SIZE, sizes=(64, 96)),
    "beit": Family("beit_base_patch16_224"),
    "relpos": Family("vit_relpos_small_patch16_224"),
    "cait": Family("cait_xxs24_224"),
    "naflex": Family("naflexvit_base_patch16_gap", {"img_size": None}, sizes=(64, 96), padded=True),
    "deepseek": Family("deepseek_vit_412m", {"img_size": 56}, sizes=(56,)),
    "qwen3": Family("qwen3_vit_88m"),
    "gemma4": Family("gemma4_vit_167m", _GEMMA, sizes=(96,), padded=True),
    "torchvision": Family("torchvision"),
    "held": Family("held"),
    "hf vit": Family("ViTForImageClassification"),
    "hf clip": Family("CLIPForImageClassification"),
}


def families(pattern: str = "*") -> dict[str, Family]:
    """Returns the families whose names match and whose models the installed release of timm has."""
    return {name: family for name, family in FAMILIES.items() if fnmatch(name, pattern) and family.is_known()}


def compiled(model: nn.Module) -> nn.Module:
    """Compiles the whole model without generating code, because errors would be in what the compiler captures."""
    # Each setting is compiled separately, up to this limit. In older releases of torch it is set for all threads.
    new = "recompile_limit" in inspect.signature(torch.compile).parameters
    options: dict[str, Any] = {"recompile_limit": RECOMPILE_LIMIT} if new else {}
    wrapper: Any = torch.compile(model, backend="eager", **options)
    return wrapper
