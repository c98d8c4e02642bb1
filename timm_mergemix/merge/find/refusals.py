"""Why a module or its blocks cannot be patched."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ...errors import MergeMixError
from ..blocks import MergingBlock
from ..families import BLOCKS, FAMILIES, PLAIN_BLOCKS, Backbone, is_touched
from ..families.held import HeldBlocks
from ..model import MergingModel
from ..state import Merging

__all__ = ["UnsupportedError", "is_sharded", "reason_against", "reason_unknown", "unsupported"]


class UnsupportedError(MergeMixError):
    """A module that cannot be patched.

    Attributes:
        reason: Why not.
    """

    def __init__(self, message: str = "", *, reason: str = "", **fields: str) -> None:
        super().__init__(message, **fields)
        self.reason = reason


def unsupported(argument: str, module: nn.Module, reason: str) -> UnsupportedError:
    """Returns the error for a module that cannot be patched; the caller raises it."""
    return UnsupportedError(f"{type(module).__name__} is not supported: {reason}", argument=argument, reason=reason)


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


def reason_against(backbone: Backbone, unpatching: bool = False) -> str | None:
    """Why the blocks of a model cannot be patched (or unpatched), or None if they can."""
    model, blocks = backbone.model, backbone.blocks
    if not blocks:
        return "it has no transformer blocks"
    if len({id(block) for block in blocks}) < len(blocks):
        return "the same block stands in it more than once"
    patched = _is_patched(backbone)
    if patched and not unpatching and len({id(m) for m in _states(model, blocks)}) > 1:
        return "blocks were copied from a patched model into it; unpatch the model, then patch it again"
    if patched and unpatching:
        return None
    for i, block in enumerate(blocks):
        if patched and type(block) in BLOCKS:
            return f"block {i} was replaced while the model was patched; unpatch the model, then patch it again"
        reason = _reason_against_block(i, block, patched)
        if reason is not None:
            return reason
    return None if patched else _reason_against_sharing(blocks)


def _reason_against_block(i: int, block: nn.Module, patched: bool) -> str | None:
    if isinstance(block, MergingBlock) and not patched:
        return f"block {i} is patched already, as part of another module"
    if type(block) not in (PLAIN_BLOCKS if patched else BLOCKS):
        hint = "; compile the whole model instead" if hasattr(block, "_orig_mod") else ""
        return f"block {i} is a {type(block).__name__}, for which there is no merging class{hint}"
    if "forward" in vars(block):
        return f"block {i} has a forward of its own in place of its class's, which merging would not change"
    merging_class = block if isinstance(block, MergingBlock) else BLOCKS[type(block)]
    reason = merging_class.refusal(block)
    if reason is None and any("forward" in vars(attention) for attention in merging_class.attentions(block)):
        return (
            f"the attention of block {i} has a forward of its own in place of its class's, which knows nothing of "
            "merged tokens; timm_mergemix.record shows attention"
        )
    return reason


def _reason_against_sharing(blocks: Sequence[nn.Module]) -> str | None:
    """Why the modules inside blocks cannot be changed; what one block lends or reads must not reach another one."""
    touched = [module for block in blocks for module in BLOCKS[type(block)].touched(block)]
    taken = next((module for module in touched if is_touched(module)), None)
    if taken is not None:
        return f"its {type(taken).__name__} is part of another model that is patched"
    if len({id(module) for module in touched}) < len(touched):
        return "two of its blocks share a module inside their attention"
    return None


def _states(model: nn.Module, blocks: Sequence[nn.Module]) -> list[Merging]:
    return [part.merging for part in (model, *blocks) if isinstance(part, MergingModel | MergingBlock)]


def _is_patched(backbone: Backbone) -> bool:
    whole = backbone.blocks[0] if isinstance(backbone, HeldBlocks) else backbone.model
    return isinstance(whole, MergingBlock | MergingModel)


def reason_unknown(module: nn.Module) -> str | None:
    """Why a module that is no known model is refused; None for a user's module that holds known blocks."""
    cls = type(module)
    if "ScriptModule" in {base.__name__ for base in cls.__mro__}:
        return "it is scripted; patch the model before torch.jit.trace instead"
    if is_sharded(module):
        return "fully_shard has changed its class; patch a model before it is sharded"
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
        return f"there is no merging class for {cls.__name__} with {type(blocks[0]).__name__} blocks"
    if foreign or not any(type(part) in BLOCKS for part in module.modules()):
        return f"there is no merging class for {cls.__name__}"
    return None


def is_sharded(module: nn.Module) -> bool:
    """Whether FSDP2 holds a part of it, which then has a class of its own."""
    return any(base.__name__ == "FSDPModule" for part in module.modules() for base in type(part).__mro__)


def _name(part: nn.Module, module: nn.Module) -> str:
    return "it" if part is module else type(part).__name__
