"""The one supported model inside whatever a user passes, or the blocks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ...errors import Words, unusable, wrong
from ..families import FAMILIES, Backbone, family_of
from ..model import MergingModel
from ..restore import mend
from .held import Blocks, check_prefix, find_held, held_blocks, same, select
from .refusals import reason_against, unsupported

__all__ = ["Blocks", "bare", "find_backbone"]


def find_backbone(
    module: nn.Module,
    argument: str = "model",
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
    *,
    unpatching: bool = False,
) -> Backbone:
    """Finds the supported model: the module itself, or the only one inside a wrapper (DDP, compiled, a user's module).

    This walks through the module. Whoever needs the model more than once keeps the result, and asks it whether it
    `holds`.

    Args:
        module: The model or its wrapper, or a module that holds supported blocks.
        argument: Name of the argument, for the error.
        blocks: Which blocks, for a module that holds no supported model: see `timm_mergemix.patch`.
        prefix_tokens: Leading tokens that never merge, likewise.
        unpatching: Whether blocks that were replaced in a patched model may stay.

    Raises:
        MergeMixError: If there is none, or more than one, or its blocks cannot merge.
    """
    if not isinstance(module, nn.Module):
        raise wrong(argument, module, "a torch.nn.Module")
    mend(module)
    models = [module] if family_of(module) else _known(module, argument, alone=blocks is None)
    selected = None if blocks is None else select(module, blocks)
    if selected is not None:
        models = [model for model in models if _selects(selected, model)]
    elif len(models) > 1:  # where one of them is patched, it is the one that is meant
        models = [model for model in models if isinstance(model, MergingModel)] or models
    if len(models) > 1:
        names = ", ".join(name for name, m in module.named_modules() if any(m is model for model in models))
        raise wrong(argument, module, f"one vision transformer, it holds {len(models)}: {names}; pass one of them")
    if models:
        backbone = _of_family(models[0])
        check_prefix(prefix_tokens, backbone.prefix_tokens)
    else:
        own = bare(module)
        backbone = find_held(own, argument, selected, prefix_tokens)
    reason = reason_against(backbone, unpatching)
    if reason is not None and selected is not None:
        raise unusable("blocks", f"got some that cannot be patched: {reason}")
    if reason is not None:
        raise unsupported(argument, module, reason)
    return backbone


def _known(module: nn.Module, argument: str, alone: bool) -> list[nn.Module]:
    """The models of known families inside a module; none where blocks beside them are patched, which are then meant."""
    models = [m for m in module.modules() if family_of(m)]
    if models and any(type(m).__name__ == "FeatureHookNet" for m in module.modules()):
        reason = "its hooks see merged tokens; feature_cls='getter' gives all of them"
        raise unsupported(argument, module, reason)
    if not alone or not held_blocks(module):
        return models
    patched = next((m for m in models if isinstance(m, MergingModel)), None)
    if patched is not None:
        both = f"its {type(patched).__name__} is patched, and so are blocks beside it"
        raise wrong(argument, module, f"one patched part: {both}; pass the former by itself")
    return []


def bare(module: Any) -> nn.Module:
    """What is left without the wrappers that do nothing to images: DDP, DataParallel, torch.compile's, classifiers."""
    wrappers = tuple(wrapper for family in FAMILIES for wrapper in family.wrappers)
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif type(module) in wrappers:
            module = module.encoder
        else:
            return module


def _of_family(model: nn.Module) -> Backbone:
    family = family_of(model)
    if family is None:  # pragma: no cover - only models of a family come here
        raise wrong("model", model, "a supported model")
    return family(model)


def _selects(selected: Sequence[nn.Module], model: nn.Module) -> bool:
    """Whether the selection is all blocks of a known model.

    Raises:
        MergeMixError: If it is a part of them.
    """
    blocks = _of_family(model).blocks
    if same(blocks, selected):
        return True
    if any(block is chosen for block in blocks for chosen in selected):
        raise wrong(
            "blocks",
            Words(f"some of those of {type(model).__name__}"),
            "all; a list for r, with 0 for the others, merges in some",
        )
    return False
