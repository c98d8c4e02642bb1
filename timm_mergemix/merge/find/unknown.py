"""Why a module that holds nothing known is refused: what it is, and what to use instead."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from ..families import BLOCKS, FAMILIES, OLDEST_TRANSFORMERS, is_old, may_be_held
from .wrappers import CHANGED, changer_of, class_name, is_sharded, is_traced, reason_changed

__all__ = ["path_of", "reason_not_held", "reason_unknown"]

# Why models that people ask for cannot merge, by class.
REASONS = {
    "TNT": "each of its patches has a second stream of pixel tokens, which would lose its patch when patches merge",
    "ConVit": "its gated attention (GPSA) computes positions from the grid of patches",
    "VisionTransformerSAM": "its blocks work on windows of the grid of patches",
    "Hiera": "its blocks work on windows of the grid of patches and pool it",
    "HieraDet": "its blocks work on windows of the grid of patches and pool it",
    "VOLO": "its stages need the grid of patches",
    "PoolingVisionTransformer": "its stages pool the grid; blocks='transformers.2.blocks', prefix_tokens=1 works",
    "CrossVit": "its branches exchange tokens between blocks",
    "MultiScaleVit": "its blocks pool the grid of patches",
    "Xcit": "its blocks convolve over the grid of patches",
    "Levit": "its blocks need the grid of patches",
    "LevitDistilled": "its blocks need the grid of patches",
    "SwinTransformer": "its blocks work on windows of the grid of patches",
    "SwinTransformerV2": "its blocks work on windows of the grid of patches",
    "SwinTransformerV2Cr": "its blocks work on windows of the grid of patches",
    "Twins": "its blocks work on windows of the grid of patches",
    "PyramidVisionTransformerV2": "its blocks pool the grid of patches",
}

# What to use instead of the models of other packages.
CLIP = "timm's vit_*_clip_* models are such image towers, and so are open_clip's models whose tower is one of timm's"
INSTEAD = {
    "open_clip": CLIP,
    "clip": CLIP,
    "transformers": (
        "supported are ViT, DeiT, DINOv2, DINOv3, CLIP, SigLIP and SigLIP 2 of transformers "
        f"{'.'.join(map(str, OLDEST_TRANSFORMERS))} or newer, and timm's models in transformers.TimmWrapperModel"
    ),
}
CONTAINERS = (nn.Sequential, nn.ModuleList)


def reason_unknown(module: nn.Module) -> str | None:
    """Why a module that is no known model is refused; None for a user's module that holds known blocks."""
    cls = type(module)
    if "ScriptModule" in {base.__name__ for base in cls.__mro__}:
        return "it is scripted or traced; patch the model before torch.jit.trace instead"
    if is_sharded(module):
        return f"fully_shard has changed its class; {CHANGED['fully_shard'][0]}"
    for part in module.modules():
        reason = _reason_against_part(module, part)
        if reason is not None:
            return reason
    if may_be_held(module):
        return None
    foreign = cls.__module__.split(".")[0] in ("timm", "torchvision")
    if not foreign and any(may_be_held(part) for part in module.modules()):
        return None
    return _reason_traced(module) or f"there is no merging class for {class_name(cls)}{_about_blocks(module)}"


def reason_not_held(block: nn.Module) -> str | None:
    """Why a block can merge only inside a model of its family; None if it can merge inside any module."""
    if type(block) not in BLOCKS or may_be_held(block):
        return None
    return f"a {type(block).__name__} merges only inside a supported model, and no text model is supported"


def path_of(part: nn.Module, module: nn.Module) -> str:
    """The dotted name of a part within a module; ``"it"`` for the module itself."""
    return next((name for name, found in module.named_modules() if found is part), "") or "it"


def _reason_against_part(module: nn.Module, part: nn.Module) -> str | None:
    """Why a part of a known but unsupported class, or of a subclass of a supported one, is refused."""
    cls = type(part)
    known = {base for family in FAMILIES for base in family.models}
    parent = next((base for base in cls.__mro__[1:] if base in known), None)
    place = path_of(part, module)
    changer = changer_of(part)
    if parent is not None and changer is not None:
        return reason_changed(part, place, changer)
    if parent is not None:
        blocks = "blocks" if part is module else f"{place}.blocks"
        alone = f"; blocks={blocks!r} merges in its blocks only" if _holds_known(part) else ""
        return f"{place} is a subclass of {parent.__name__} that may compute something else{alone}"
    return REASONS.get(cls.__name__) if cls.__module__.startswith("timm.") else None


def _holds_known(model: nn.Module) -> bool:
    blocks = getattr(model, "blocks", None)
    blocks = list(blocks.children()) if isinstance(blocks, nn.Module) else []
    return bool(blocks) and all(type(block) in BLOCKS for block in blocks)


def _reason_traced(module: nn.Module) -> str | None:
    """What is said of a graph that a tracer or exporter has made."""
    part = next((part for part in module.modules() if is_traced(part)), None)
    if part is None:
        return None
    return (
        f"{path_of(part, module)} is a graph ({type(part).__name__}) that was traced or exported, in which no blocks "
        "are left; patch the model before torch.export or torch.jit.trace; forward_intermediates gives its features"
    )


def _about_blocks(module: nn.Module) -> str:
    """What an unknown model's blocks are, and what to use instead of it, as the end of a reason."""
    cls = type(module)
    package = cls.__module__.split(".")[0]
    blocks = getattr(module, "blocks", None)
    if package in ("timm", "torchvision"):
        plain = isinstance(blocks, CONTAINERS) and len(blocks) > 0 and not isinstance(blocks[0], CONTAINERS)
        return f" with {type(blocks[0]).__name__} blocks" if plain else ""  # type: ignore[index]
    stack = _stack(module)
    if stack is None:
        return ""
    block = stack[1][0]
    alone = reason_not_held(block)
    about = f", nor for its blocks ({stack[0]}, of class {class_name(type(block))})" if alone is None else f"; {alone}"
    return f"{about}; {_instead(package)}" if package in INSTEAD else about


def _instead(package: str) -> str:
    transformers: Any = sys.modules.get("transformers")
    is_too_old = package == "transformers" and transformers is not None and is_old(transformers)
    return INSTEAD[package] + (f"; this is transformers {transformers.__version__}" if is_too_old else "")


def _stack(module: nn.Module) -> tuple[str, list[nn.Module]] | None:
    """The longest container of modules of one class that are made of others, and its path; None if there is none."""
    parts = module.named_modules()
    containers = [(name, list(part.children())) for name, part in parts if isinstance(part, CONTAINERS)]
    stacks = [(name, kids) for name, kids in containers if len({type(kid) for kid in kids}) == 1]
    stacks = [stack for stack in stacks if any(stack[1][0].children())]
    return max(stacks, key=lambda stack: len(stack[1]), default=None)
