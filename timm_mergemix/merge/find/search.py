"""The one supported model inside whatever a user passes, or the blocks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ...errors import Words, unusable, wrong
from ..blocks import MergingBlock
from ..families import FAMILIES, Backbone, family_of
from ..families.held import HeldBlocks
from ..lock import undisturbed
from ..model import MergingModel
from ..restore import mend
from ..vlm.known import find_reader, reading_of, reason_against_reader
from ..vlm.reader import MergingReader
from .held import Blocks, find_held, held_groups, name_groups, plain_groups, same, select
from .refusals import reason_against, reason_against_container, unsupported
from .wrappers import takes_images_alone

__all__ = ["Blocks", "bare", "find_backbone", "find_patched"]


@undisturbed
def find_backbone(
    module: nn.Module,
    argument: str = "model",
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
    suffix_tokens: int | None = None,
) -> Backbone:
    """Finds the supported model: the module itself, or the only one inside a wrapper (DDP, compiled, a user's module).

    This walks through the module. Callers that need the model more than once keep the result, and ask it whether it
    still `holds`.

    Args:
        module: The model or its wrapper, or a module that holds supported blocks.
        argument: Name of the argument, for the error.
        blocks: Which blocks, for a module that holds several sequences of them: see `timm_mergemix.patch`.
        prefix_tokens: Leading tokens that never merge, under the same condition.
        suffix_tokens: Trailing tokens that never merge, under the same condition.

    Raises:
        MergeMixError: If there is none, or more than one, or its blocks cannot merge.
    """
    if not isinstance(module, nn.Module):
        raise wrong(argument, module, "a torch.nn.Module")
    mend(module.modules())
    models = _known(module, argument, alone=blocks is None)
    selected = None if blocks is None else select(module, blocks)
    if selected is not None:
        models = [model for model in models if _selects(selected, model)]
    elif len(models) > 1:  # where one of them is patched, it is the one that is meant
        models = [model for model in models if isinstance(model, MergingModel)] or models
    if len(models) > 1:
        names = ", ".join(name for name, m in module.named_modules() if any(m is model for model in models))
        raise wrong(argument, module, f"one vision transformer, it holds {len(models)}: {names}; pass one of them")
    reader = None if selected is not None else find_reader(module)
    if reader is not None:
        _refuse_reader(argument, reader, models)
    backbone = _of_family(models[0]) if models else find_held(bare(module), argument, selected, prefix_tokens)
    if reader is not None:
        backbone.reading = reading_of(reader, backbone)
    reason = reason_against(backbone)
    if reason is not None and selected is not None:
        raise unusable("blocks", f"some of them cannot be patched: {reason}")
    if reason is not None:
        raise unsupported(argument, module, reason)
    backbone.protect(prefix_tokens, suffix_tokens)
    return backbone


@undisturbed
def find_patched(module: nn.Module, argument: str = "model") -> list[Backbone]:
    """Finds all that is patched inside a module: known models, and sequences of blocks beside them.

    Args:
        module: As for `find_backbone`.
        argument: Name of the argument, for the error.

    Returns:
        A `Backbone` for each; blocks in them may have been replaced since. Empty where nothing is patched.

    Raises:
        MergeMixError: If it holds nothing that could be patched, or what is patched cannot be changed any more.
    """
    if not isinstance(module, nn.Module):
        raise wrong(argument, module, "a torch.nn.Module")
    mend(module.modules())
    known = [part for part in module.modules() if family_of(part)]
    held = [HeldBlocks(bare(module), group, group[0].merging.layout.prefix_tokens) for group in held_groups(module)]
    found = [*(_of_family(model) for model in known if isinstance(model, MergingModel)), *held]
    if not found and len(known) < 2 and (known or not plain_groups(module)):
        find_backbone(module, argument)  # raises where nothing could be patched
    reader = find_reader(module)
    for backbone in found:
        if isinstance(reader, MergingReader) and backbone.state is reader.merging:
            backbone.reading = reader.reading
        reason = reason_against(backbone, unpatching=True)
        if reason is not None:
            raise unsupported(argument, module, reason)
    return found


def _refuse_reader(argument: str, reader: nn.Module, models: Sequence[nn.Module]) -> None:
    """Raises where the prompts of a vision-language model cannot be shorter."""
    reason = reason_against_reader(reader, _of_family(models[0]) if models else None)
    if reason is not None:
        raise unsupported(argument, reader, reason)


def _known(module: nn.Module, argument: str, alone: bool) -> list[nn.Module]:
    """The models of known families inside a module; none where blocks beside them are patched, which are then meant."""
    models = [module] if family_of(module) else [m for m in module.modules() if family_of(m)]
    container = next(filter(None, map(reason_against_container, models)), None)
    if container is not None:
        raise unsupported(argument, module, container)
    if models == [module]:
        first = _of_family(module).blocks[:1]
        held_alone = any(isinstance(block, MergingBlock) and not block.merging.in_model for block in first)
        return [] if alone and held_alone else models
    if models and any(type(m).__name__ == "FeatureHookNet" for m in module.modules()):
        reason = "its hooks see merged tokens; feature_cls='getter' gives all of them"
        raise unsupported(argument, module, reason)
    held = held_groups(module)
    if not alone or not held:
        return models
    patched = [_of_family(model).blocks for model in models if isinstance(model, MergingModel)]
    if patched:
        names = name_groups(module, [*patched, *held])
        raise wrong(argument, module, f"blocks= to select one of the sequences that are patched in it: {names}")
    return []


def bare(module: Any) -> nn.Module:
    """What is left without the wrappers that do nothing to images: DDP, DataParallel, torch.compile's, classifiers.

    Classifiers of transformers too: a model that takes only images passes them unchanged to its vision model.
    """
    wrappers = tuple(wrapper for family in FAMILIES for wrapper in family.wrappers)
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif type(module) in wrappers:
            module = module.encoder
        elif takes_images_alone(module) and (inside := _only_model(module)) is not None:
            return inside
        else:
            return module


def _only_model(module: nn.Module) -> nn.Module | None:
    models = [part for part in module.modules() if family_of(part)]
    return models[0] if len(models) == 1 else None


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
            "all of them; to merge in only some, pass a list for r with 0 for the others",
        )
    return False
