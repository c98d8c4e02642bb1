"""Blocks of known classes inside a module that is none of the known models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import nn

from ...errors import check_int, wrong
from ..blocks import MergingBlock
from ..families import BLOCKS
from ..families.held import HeldBlocks
from .refusals import is_sharded, reason_unknown, unsupported

__all__ = ["Blocks", "check_prefix", "find_held", "held_blocks", "same", "select"]

Blocks: TypeAlias = str | Sequence[nn.Module] | nn.Module


def held_blocks(module: nn.Module) -> list[MergingBlock]:
    """Patched blocks that are not those of a known model."""
    return [m for m in module.modules() if isinstance(m, MergingBlock) and not m.merging.in_model]


def same(some: Sequence[nn.Module], others: Sequence[nn.Module]) -> bool:
    """Whether both hold the same modules in the same order."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def check_prefix(given: int | None, actual: int) -> None:
    """Raises unless a number of prefix tokens that was given is the actual one."""
    if given is not None:
        check_int("prefix_tokens", given, 0)
        if given != actual:
            raise wrong("prefix_tokens", given, f"{actual} or None, as the model has {actual}")


def select(module: nn.Module, blocks: Any) -> list[nn.Module]:
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


def find_held(
    module: nn.Module, argument: str, selected: list[nn.Module] | None, prefix_tokens: int | None
) -> HeldBlocks:
    """What is known of a module of the user's own: its blocks.

    Raises:
        MergeMixError: If it has none, or nobody knows which are meant.
    """
    patched = held_blocks(module)
    if not patched:  # those of a known model that are asked for without it
        asked = list(module.modules()) if selected is None else selected
        patched = [m for m in asked if isinstance(m, MergingBlock)]
    if patched:
        return _held_already(module, argument, patched, selected, prefix_tokens)
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
    return HeldBlocks(module, selected, prefix_tokens)


def _held_already(
    module: nn.Module,
    argument: str,
    patched: list[MergingBlock],
    selected: list[nn.Module] | None,
    prefix_tokens: int | None,
) -> HeldBlocks:
    state = patched[0].merging
    if is_sharded(module):
        known = "once fully_shard has changed its classes it only runs"
        raise wrong(argument, module, f"a patched model that is not sharded: {known}")
    if state.in_model:
        raise wrong(argument, module, "the whole model that was patched")
    if any(block.merging is not state for block in patched):
        raise wrong(argument, module, "one patched sequence of blocks, it holds several; pass one of them")
    patched.sort(key=lambda block: block.merge_index)
    if selected is not None and not same(patched, selected):
        raise wrong("blocks", selected, "the blocks that are patched already, or an unpatched model")
    check_prefix(prefix_tokens, state.layout.prefix_tokens)
    return HeldBlocks(module, patched, state.layout.prefix_tokens)


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
