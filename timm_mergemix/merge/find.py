"""The one supported model inside whatever a user passes, or the blocks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..errors import MergeMixError, check_int, wrong
from .adapters import BLOCKS, FAMILIES, PLAIN_BLOCKS, Family, family_of, is_touched
from .adapters.held import HeldBlocks
from .blocks import MergingBlock, MergingModel

__all__ = ["Blocks", "Found", "bare", "find_model", "reason_against"]

Found = tuple[nn.Module, Family]
Blocks = str | Sequence[nn.Module] | nn.Module

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


def find_model(
    module: nn.Module, argument: str = "model", blocks: Blocks | None = None, prefix_tokens: int | None = None
) -> Found:
    """Finds the supported model: the module itself, or the only one inside a wrapper (DDP, compiled, a user's module).

    Args:
        module: The model or its wrapper, or a module that holds supported blocks.
        argument: Name of the argument, for the error.
        blocks: Which blocks, for a module that holds no supported model: see `timm_mergemix.patch`.
        prefix_tokens: Leading tokens that never merge, likewise.

    Raises:
        MergeMixError: If there is none, or more than one, or its blocks cannot merge.
    """
    if not isinstance(module, nn.Module):
        raise wrong(argument, module, "a torch.nn.Module")
    models = [module] if family_of(module) else [m for m in module.modules() if family_of(m)]
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
    reason = reason_against(*found)
    if reason is not None:
        raise MergeMixError(f"{argument}: {type(module).__name__} is not supported: {reason}")
    return found


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


def reason_against(model: nn.Module, family: Family) -> str | None:
    """Why the blocks of a model of a known family cannot be patched, or None if they can."""
    blocks = family.find_blocks(model)
    if not blocks:
        return "it has no transformer blocks"
    if len({id(block) for block in blocks}) < len(blocks):
        return "the same block stands in it more than once"
    patched = _is_patched(model, family)
    for i, block in enumerate(blocks):
        reason = _reason_against_block(i, block, patched)
        if reason is not None:
            return reason
    return None if patched else _reason_against_sharing(blocks)


def _reason_against_block(i: int, block: nn.Module, patched: bool) -> str | None:
    if isinstance(block, MergingBlock) and not patched:
        return f"block {i} is patched already, as part of another module"
    if type(block) not in (PLAIN_BLOCKS if patched else BLOCKS):
        hint = "; compile it in place, by block.compile()" if hasattr(block, "_orig_mod") else ""
        return f"block {i} is a {type(block).__name__}, for which there is no adapter{hint}"
    if "forward" in vars(block):
        return f"block {i} has a forward of its own in place of its class's, which merging would not change"
    return (block if isinstance(block, MergingBlock) else BLOCKS[type(block)]).refusal(block)


def _reason_against_sharing(blocks: Sequence[nn.Module]) -> str | None:
    """Why the modules inside blocks cannot be changed; what one block lends or reads must not reach another one."""
    touched = [module for block in blocks for module in BLOCKS[type(block)].touched(block)]
    taken = next((module for module in touched if is_touched(module)), None)
    if taken is not None:
        return f"its {type(taken).__name__} is part of another model that is patched"
    if len({id(module) for module in touched}) < len(touched):
        return "two of its blocks share a module inside their attention"
    return None


def _is_patched(model: nn.Module, family: Family) -> bool:
    if isinstance(family, HeldBlocks):
        return isinstance(family.find_blocks(model)[0], MergingBlock)
    return isinstance(model, MergingModel)


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
        raise MergeMixError(
            f"blocks: got some of those of {type(model).__name__}, wanted all; a list for r, with 0 for the others, "
            "merges in some"
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
    patched = [m for m in module.modules() if isinstance(m, MergingBlock)]
    if patched:
        return module, _held_already(module, argument, patched, selected, prefix_tokens)
    if selected is None:
        reason = _why_unknown(module)
        if reason is not None:
            raise MergeMixError(f"{argument}: {type(module).__name__} is not supported: {reason}")
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


def _why_unknown(module: nn.Module) -> str | None:
    """Why a module that is no known model is refused; None for a user's module that holds known blocks."""
    cls = type(module)
    if "ScriptModule" in {base.__name__ for base in cls.__mro__}:
        return "it is scripted; patch the model before torch.jit.trace instead"
    for part in module.modules():
        known = {base for family in FAMILIES for base in family.models}
        parent = next((base for base in type(part).__mro__[1:] if base in known), None)
        if parent is not None:
            return f"{_name(part, module)} is a subclass of {parent.__name__} that may compute something else"
        if type(part).__name__ in REASONS and type(part).__module__.startswith("timm."):
            return REASONS[type(part).__name__]
    blocks = getattr(module, "blocks", None)
    if cls in BLOCKS:
        return None
    foreign = cls.__module__.split(".")[0] in ("timm", "torchvision")
    containers = (nn.Sequential, nn.ModuleList)
    if foreign and isinstance(blocks, containers) and len(blocks) and not isinstance(blocks[0], containers):
        return f"there is no adapter for {cls.__name__} with {type(blocks[0]).__name__} blocks"
    if foreign or not any(type(part) in BLOCKS for part in module.modules()):
        return f"there is no adapter for {cls.__name__}"
    return None


def _name(part: nn.Module, module: nn.Module) -> str:
    return "it" if part is module else type(part).__name__
