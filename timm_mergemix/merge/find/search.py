"""The one supported model inside whatever a user passes, or the blocks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ...errors import Words, check_int, unusable, wrong
from ..blocks import MergingBlock
from ..families import BLOCKS, FAMILIES, Family, family_of
from ..families.held import HeldBlocks
from ..model import MergingModel
from .refusals import is_sharded, reason_against, reason_unknown, unsupported

__all__ = ["Blocks", "Found", "bare", "find_model"]

Found = tuple[nn.Module, Family]
Blocks = str | Sequence[nn.Module] | nn.Module


def find_model(
    module: nn.Module,
    argument: str = "model",
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
    *,
    unpatching: bool = False,
) -> Found:
    """Finds the supported model: the module itself, or the only one inside a wrapper (DDP, compiled, a user's module).

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
    models = [module] if family_of(module) else _known(module, argument, alone=blocks is None)
    selected = None if blocks is None else _select(module, blocks)
    if selected is not None:
        models = [model for model in models if _selects(selected, model)]
    elif len(models) > 1:  # where one of them is patched, it is the one that is meant
        models = [model for model in models if isinstance(model, MergingModel)] or models
    if len(models) > 1:
        names = ", ".join(name for name, m in module.named_modules() if any(m is model for model in models))
        raise wrong(argument, module, f"one vision transformer, it holds {len(models)}: {names}; pass one of them")
    if models:
        _check_prefix(prefix_tokens, _family(models[0]).prefix_tokens(models[0]))
        found = models[0], _family(models[0])
    else:
        found = _held(module, argument, selected, prefix_tokens)
    reason = reason_against(*found, unpatching)
    if reason is not None and selected is not None:
        raise unusable("blocks", f"got some that cannot be patched: {reason}")
    if reason is not None:
        raise unsupported(argument, module, reason)
    return found


def _known(module: nn.Module, argument: str, alone: bool) -> list[nn.Module]:
    """The models of known families inside a module; none where blocks beside them are patched, which are then meant."""
    models = [m for m in module.modules() if family_of(m)]
    if models and any(type(m).__name__ == "FeatureHookNet" for m in module.modules()):
        reason = "its hooks see merged tokens; feature_cls='getter' gives all of them"
        raise unsupported(argument, module, reason)
    if not alone or not _held_blocks(module):
        return models
    patched = next((m for m in models if isinstance(m, MergingModel)), None)
    if patched is not None:
        both = f"its {type(patched).__name__} is patched, and so are blocks beside it"
        raise wrong(argument, module, f"one patched part: {both}; pass the former by itself")
    return []


def _held_blocks(module: nn.Module) -> list[MergingBlock]:
    """Patched blocks that are not those of a known model."""
    return [m for m in module.modules() if isinstance(m, MergingBlock) and not m.merging.in_model]


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


def _family(model: nn.Module) -> Family:
    family = family_of(model)
    if family is None:  # pragma: no cover - only models of a family come here
        raise wrong("model", model, "a supported model")
    return family


def _blocks_of(model: nn.Module) -> Sequence[nn.Module]:
    return _family(model).find_blocks(model)


def _selects(selected: Sequence[nn.Module], model: nn.Module) -> bool:
    """Whether the selection is all blocks of a known model.

    Raises:
        MergeMixError: If it is a part of them.
    """
    blocks = _blocks_of(model)
    if _same(blocks, selected):
        return True
    if any(block is chosen for block in blocks for chosen in selected):
        raise wrong(
            "blocks",
            Words(f"some of those of {type(model).__name__}"),
            "all; a list for r, with 0 for the others, merges in some",
        )
    return False


def _same(some: Sequence[nn.Module], others: Sequence[nn.Module]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _check_prefix(given: int | None, actual: int) -> None:
    if given is not None:
        check_int("prefix_tokens", given, 0)
        if given != actual:
            raise wrong("prefix_tokens", given, f"{actual} or None, as the model has {actual}")


def _select(module: nn.Module, blocks: Any) -> list[nn.Module]:
    """The blocks that a user names: a path, a container, or the blocks themselves."""
    wanted = "the path of a container of blocks, such as 'encoder.layers', or the blocks in order"
    if isinstance(blocks, str):
        try:
            blocks = module.get_submodule(blocks)
        except AttributeError:
            raise wrong("blocks", blocks, f"{wanted}; {type(module).__name__} has nothing of that name") from None
    if isinstance(blocks, nn.Module):
        blocks = list(blocks.children())
    if not isinstance(blocks, Sequence) or not blocks or not all(isinstance(block, nn.Module) for block in blocks):
        raise wrong("blocks", blocks, wanted)
    inside = {id(m) for m in module.modules()}
    if not all(id(block) in inside for block in blocks):
        raise wrong("blocks", blocks, f"blocks inside {type(module).__name__}")
    return list(blocks)


def _held(
    module: nn.Module, argument: str, selected: list[nn.Module] | None, prefix_tokens: int | None
) -> tuple[nn.Module, Family]:
    """A module of the user's own, known by its blocks."""
    module = bare(module)
    patched = _held_blocks(module)
    if not patched:  # those of a known model that are asked for without it
        asked = list(module.modules()) if selected is None else selected
        patched = [m for m in asked if isinstance(m, MergingBlock)]
    if patched:
        return module, _held_already(module, argument, patched, selected, prefix_tokens)
    if selected is None:
        reason = reason_unknown(module)
        if reason is not None:
            raise unsupported(argument, module, reason)
        selected = _only_group(module, argument)
    if prefix_tokens is None:
        prefix_tokens = getattr(module, "num_prefix_tokens", None)
    if prefix_tokens is None:
        raise wrong("prefix_tokens", None, f"a number, since {type(module).__name__} has no num_prefix_tokens")
    check_int("prefix_tokens", prefix_tokens, 0)
    least = max(getattr(getattr(block, "attn", None), "num_prefix_tokens", 0) for block in selected)
    if prefix_tokens < least:
        raise wrong("prefix_tokens", prefix_tokens, f"at least {least}, which the attention of its blocks counts on")
    return module, HeldBlocks(selected, prefix_tokens)


def _held_already(
    module: nn.Module,
    argument: str,
    patched: list[MergingBlock],
    selected: list[nn.Module] | None,
    prefix_tokens: int | None,
) -> Family:
    state = patched[0].merging
    if is_sharded(module):
        known = "once fully_shard has changed its classes it only runs"
        raise wrong(argument, module, f"a patched model that is not sharded: {known}")
    if state.in_model:
        raise wrong(argument, module, "the whole model that was patched")
    if any(block.merging is not state for block in patched):
        raise wrong(argument, module, "one patched sequence of blocks, it holds several; pass one of them")
    patched.sort(key=lambda block: block.merge_index)
    if selected is not None and not _same(patched, selected):
        raise wrong("blocks", selected, "the blocks that are patched already, or an unpatched model")
    _check_prefix(prefix_tokens, state.prefix_tokens)
    return HeldBlocks(patched, state.prefix_tokens)


def _only_group(module: nn.Module, argument: str) -> list[nn.Module]:
    """The blocks of the only container that holds any."""
    groups = {
        name: known
        for name, parent in module.named_modules()
        if (known := [child for child in parent.children() if type(child) in BLOCKS])
    }
    if len(groups) > 1:
        raise wrong(argument, module, f"blocks= to select some: it holds blocks in {', '.join(map(repr, groups))}")
    return next(iter(groups.values()), [module])
