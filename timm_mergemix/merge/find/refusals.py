"""Why a module or its blocks cannot be patched."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ...errors import MergeMixError
from ..blocks import MergingBlock
from ..families import BLOCKS, PLAIN_BLOCKS, Backbone, is_touched
from ..families.held import HeldBlocks
from ..model import MergingModel
from ..state import Merging
from .unknown import path_of
from .wrappers import class_name, reason_not_plain

__all__ = ["COPIED", "UnsupportedError", "reason_against", "reason_against_container", "unsupported"]

COPIED = "blocks were copied from a patched model into it; unpatch the model, then patch it again"


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


def reason_against_container(model: nn.Module) -> str | None:
    """Why the blocks of a known model cannot be counted, where one wrapper stands around all of them; or None."""
    places = {
        "blocks": getattr(model, "blocks", None),
        "encoder.layers": getattr(getattr(model, "encoder", None), "layers", None),
    }
    for place, part in places.items():
        # A checkpoint around torchvision's can be iterated over, which is all that is done with it.
        if not isinstance(part, nn.Module):
            continue
        countless = not hasattr(type(part), "__len__" if place == "blocks" else "__iter__")
        if countless or "_orig_mod" in part._modules:
            wrapper = f"{place} is a wrapper of class {class_name(type(part))} around its blocks"
            return f"{wrapper}; wrap the whole model instead"
    return None


def reason_against(backbone: Backbone, unpatching: bool = False) -> str | None:
    """Why the blocks of a model cannot be patched (or unpatched), or None if they can."""
    model, blocks = backbone.model, backbone.blocks
    if not blocks:
        return "it has no transformer blocks"
    if len({id(block) for block in blocks}) < len(blocks):
        return "the same block stands in it more than once"
    patched = _is_patched(backbone)
    if patched and not unpatching and len({id(m) for m in _states(backbone)}) > 1:
        return COPIED
    for block in blocks:
        if patched and unpatching and (not isinstance(block, MergingBlock) or type(block) in PLAIN_BLOCKS):
            continue
        if patched and type(block) in BLOCKS:
            place = path_of(block, model)
            return f"{place} was replaced while the model was patched; unpatch the model, then patch it again"
        reason = _reason_against_block(model, block, patched)
        if reason is not None:
            return reason
    return None if patched else _reason_against_sharing(blocks)


def _reason_against_block(model: nn.Module, block: nn.Module, patched: bool) -> str | None:
    if isinstance(block, MergingBlock) and not patched:
        return f"{path_of(block, model)} is patched already, as part of another module"
    if type(block) not in (PLAIN_BLOCKS if patched else BLOCKS):
        place = path_of(block, model)
        foreign = f"{place} is of class {class_name(type(block))}, for which there is no merging class"
        return reason_not_plain(block, place, {*BLOCKS, *PLAIN_BLOCKS}) or foreign
    if "forward" in vars(block) and not (patched and _is_hooked(block)):
        own = "has its own forward instead of that of its class, and merging would not change it"
        hooks = "; accelerate has put it there: patch the model before its hooks are added"
        return f"{path_of(block, model)} {own}" + (hooks if "_hf_hook" in vars(block) else "")
    merging_class = type(block) if isinstance(block, MergingBlock) else BLOCKS[type(block)]
    refusal = merging_class.refusal(block)
    reasons = (_reason_against_attention(model, part, refusal) for part in merging_class.attentions(block))
    return next(filter(None, reasons), refusal)


def _reason_against_attention(model: nn.Module, attention: nn.Module, refusal: str | None) -> str | None:
    """Why an attention is refused; ``refusal`` is what its block says, which knows nothing of wrappers."""
    replaced = "forward" in vars(attention)
    if not replaced and refusal is None:
        return None
    place = path_of(attention, model)
    own = (
        f"the attention {place} has its own forward instead of that of its class, which does not support merging; "
        "timm_mergemix.record shows attention"
    )
    return reason_not_plain(attention, place, set()) or refusal or own


def _is_hooked(block: nn.Module) -> bool:
    """Whether the block's own forward is that of accelerate's hooks around the forward of its class."""
    inner = getattr(vars(block).get("_old_forward"), "__func__", None)
    return "_hf_hook" in vars(block) and inner is type(block).forward


def _reason_against_sharing(blocks: Sequence[nn.Module]) -> str | None:
    """Why the modules inside blocks cannot be changed; what one block lends or reads must not reach another one."""
    touched = [module for block in blocks for module in BLOCKS[type(block)].touched(block)]
    taken = next((module for module in touched if is_touched(module)), None)
    if taken is not None:
        return f"its {type(taken).__name__} is part of another model that is patched"
    if len({id(module) for module in touched}) < len(touched):
        return "two of its blocks share a module inside their attention"
    return None


def _states(backbone: Backbone) -> list[Merging]:
    whole = () if isinstance(backbone, HeldBlocks) else (backbone.model,)
    return [part.merging for part in (*whole, *backbone.blocks) if isinstance(part, MergingModel | MergingBlock)]


def _is_patched(backbone: Backbone) -> bool:
    whole = backbone.blocks[0] if isinstance(backbone, HeldBlocks) else backbone.model
    return isinstance(whole, MergingBlock | MergingModel)
