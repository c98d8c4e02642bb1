"""The one supported model inside whatever a user passes."""

from __future__ import annotations

from torch import nn

from ..errors import MergeMixError, wrong
from .adapters import FAMILIES, Family, family_of

__all__ = ["Found", "find_model", "reason_against"]

Found = tuple[nn.Module, Family]


def find_model(module: nn.Module, argument: str = "model") -> Found:
    """Finds the supported model: the module itself, or the only one inside a wrapper (DDP, compiled, a user's module).

    Args:
        module: The model or its wrapper.
        argument: Name of the argument, for the error.

    Raises:
        MergeMixError: If there is none, or more than one, or its blocks cannot merge.
    """
    if not isinstance(module, nn.Module):
        raise wrong(argument, module, "a torch.nn.Module")
    models = [module] if family_of(module) else [m for m in module.modules() if family_of(m)]
    if len(models) > 1:
        names = ", ".join(name for name, m in module.named_modules() if any(m is model for model in models))
        raise wrong(argument, module, f"one vision transformer, it holds {len(models)}: {names}; pass one of them")
    reason = reason_against(models[0] if models else module)
    if reason is not None:
        raise MergeMixError(f"{argument}: {type(module).__name__} is not supported: {reason}")
    family = family_of(models[0])
    if family is None:  # pragma: no cover - reason_against has spoken for such a model
        raise wrong(argument, module, "a supported model")
    return models[0], family


def reason_against(model: nn.Module) -> str | None:
    """Why a model cannot be patched, or None if it can."""
    family = family_of(model)
    if family is None:
        return _why_unknown(model)
    blocks = family.find_blocks(model)
    if not blocks:
        return "it has no transformer blocks"
    patched = type(model) in family.models.values()
    known = family.blocks.values() if patched else family.blocks.keys()
    if len({id(block) for block in blocks}) < len(blocks):
        return "the same block stands in it more than once"
    for i, block in enumerate(blocks):
        if type(block) not in known:
            return (
                f"block {i} is a {type(block).__name__}, known are {', '.join(cls.__name__ for cls in family.blocks)}"
            )
        reason = family.refusal(block)
        if reason is not None:
            return reason
    return None


def _why_unknown(model: nn.Module) -> str:
    cls = type(model)
    if "ScriptModule" in {base.__name__ for base in cls.__mro__}:
        return "it is scripted; patch the model before torch.jit.trace instead"
    blocks = getattr(model, "blocks", None)
    parent = next((base for base in cls.__mro__[1:] if any(base in known.models for known in FAMILIES)), None)
    if parent is not None:
        return f"it is a subclass of {parent.__name__} that may compute something else"
    if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks):
        return f"there is no adapter for {cls.__name__} with {type(blocks[0]).__name__} blocks"
    return f"there is no adapter for {cls.__name__}"
