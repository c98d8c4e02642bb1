"""Blocks of known classes inside a module that is none of the known models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from torch import nn

from ...errors import Words, check_int, unusable, wrong
from ..blocks import MergingBlock
from ..families import may_be_held
from ..families.backbone import unwrapped
from ..families.held import HeldBlocks
from ..model import MergingModel
from .refusals import COPIED, unsupported
from .unknown import path_of, reason_not_held, reason_unknown
from .wrappers import changer_of, reason_changed

__all__ = ["Blocks", "find_held", "held_groups", "name_groups", "plain_groups", "same", "select"]

Blocks: TypeAlias = str | Sequence[nn.Module] | nn.Module


def held_groups(module: nn.Module) -> list[list[MergingBlock]]:
    """Patched blocks that are not those of a known model: a list for each sequence that was patched, in its order."""
    groups: dict[int, list[MergingBlock]] = {}
    for part in module.modules():
        if isinstance(part, MergingBlock) and not part.merging.in_model:
            groups.setdefault(id(part.merging), []).append(part)
    return [sorted(group, key=lambda block: block.merge_index) for group in groups.values()]


def plain_groups(module: nn.Module) -> dict[str, list[nn.Module]]:
    """The unpatched blocks of known classes: path of their container -> the blocks, or the wrapper of each block."""
    groups = {
        name: known
        for name, parent in module.named_modules()
        if (known := [child for child in parent.children() if may_be_held(child)])
    }
    above = {name.rpartition(".")[0] for name in groups}
    if len(groups) > 1 and len(above) == 1 and all(len(blocks) == 1 for blocks in groups.values()):
        name = above.pop()  # each block has a wrapper of its own
        return {name: [module.get_submodule(wrapper) for wrapper in groups]}
    return groups


def same(some: Sequence[nn.Module], others: Sequence[nn.Module]) -> bool:
    """Whether both hold the same modules in the same order."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def select(module: nn.Module, blocks: Any) -> list[nn.Module]:
    """The blocks that a user selects by a path, a container, or a list of the blocks."""
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
    return [unwrapped(block) for block in blocks]


def find_held(
    module: nn.Module, argument: str, selected: list[nn.Module] | None, prefix_tokens: int | None
) -> HeldBlocks:
    """Finds the blocks of a user's own module, of which nothing else is known.

    Raises:
        MergeMixError: If it has none, or if it is ambiguous which blocks are meant.
    """
    groups = held_groups(module)
    asked = list(module.modules()) if selected is None else selected
    patched = [block for block in asked if isinstance(block, MergingBlock)]
    if patched:
        _refuse_changed(module, argument)
        if all(block.merging.in_model for block in patched):
            raise wrong(argument, module, "the whole model that was patched")
        group = _only_patched(module, argument, groups) if selected is None else _patched_as(module, selected, groups)
        return HeldBlocks(module, group, group[0].merging.layout.prefix_tokens)
    if selected is None:
        reason = reason_unknown(module)
        if reason is not None:
            raise unsupported(argument, module, reason)
        selected = _only_group(module, argument)
    alone = next(filter(None, map(reason_not_held, selected)), None)
    if alone is not None:
        raise unusable("blocks", f"some of them cannot be patched: {alone}")
    return HeldBlocks(module, selected, _count_prefix(module, selected, prefix_tokens))


def _count_prefix(module: nn.Module, blocks: Sequence[nn.Module], given: int | None) -> int:
    """The number of leading tokens of a module of the user's own."""
    prefix_tokens = getattr(module, "num_prefix_tokens", None) if given is None else given
    if prefix_tokens is None:
        raise wrong("prefix_tokens", None, f"a number, since {type(module).__name__} has no num_prefix_tokens")
    check_int("prefix_tokens", prefix_tokens, 0)
    least = max(getattr(getattr(block, "attn", None), "num_prefix_tokens", 0) for block in blocks)
    if prefix_tokens < least:
        raise wrong("prefix_tokens", prefix_tokens, f"at least {least}, which the attention of its blocks counts on")
    return prefix_tokens


def name_groups(module: nn.Module, groups: Iterable[Sequence[nn.Module]]) -> str:
    """The containers of groups of blocks, in words: ``"'blocks', 'decoder_blocks'"``."""
    names = (path_of(group[0], module).rpartition(".")[0] for group in groups)
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def _refuse_changed(module: nn.Module, argument: str) -> None:
    """Raises where a patched model or block got another class since the patch."""
    for name, part in module.named_modules():
        changer = changer_of(part)
        if changer is not None and isinstance(part, MergingBlock | MergingModel):
            raise unsupported(argument, module, reason_changed(part, name or "it", changer))


def _only_patched(module: nn.Module, argument: str, groups: list[list[MergingBlock]]) -> list[MergingBlock]:
    if len(groups) > 1:
        names = name_groups(module, groups)
        if "," not in names:
            raise unsupported(argument, module, COPIED)
        raise wrong(argument, module, f"blocks= to select one of the sequences that are patched in it: {names}")
    return groups[0]


def _patched_as(module: nn.Module, selected: list[nn.Module], groups: list[list[MergingBlock]]) -> list[MergingBlock]:
    """The patched sequence that a selection is."""
    group = next((group for group in groups if same(group, selected)), None)
    if group is None:
        got = Words(f"{len(selected)} blocks, some of which are patched")
        names = name_groups(module, groups)
        raise wrong("blocks", got, f"all blocks of a sequence that is patched, in order, or none of them: {names}")
    return group


def _only_group(module: nn.Module, argument: str) -> list[nn.Module]:
    """The blocks of the only container that holds any."""
    groups = plain_groups(module)
    if len(groups) > 1:
        raise wrong(argument, module, f"blocks= to select a sequence; it contains {', '.join(map(repr, groups))}")
    return next(iter(groups.values()), [module])
