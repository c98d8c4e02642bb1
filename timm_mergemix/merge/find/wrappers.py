"""What has been put around a block or has changed its class: what it is, and what to do instead."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ..blocks import MergingBlock
from ..model import MergingModel

__all__ = [
    "changer_of",
    "class_name",
    "is_sharded",
    "is_traced",
    "reason_changed",
    "reason_not_plain",
    "takes_images_alone",
]

# Class of the wrapper -> what to do. By name, since some of them are not importable everywhere.
ADVICE = {
    "FullyShardedDataParallel": "patch the model before it is wrapped",
    "CheckpointWrapper": (
        "it would run the block again in the backward pass, without the others; instead use "
        "model.set_grad_checkpointing(True), by which merging blocks checkpoint themselves, or one checkpoint "
        "(use_reentrant=False) around all blocks together"
    ),
    "OptimizedModule": "compile the whole model instead",
    "DataParallel": "wrap the whole model instead",
    "DistributedDataParallel": "wrap the whole model instead",
    "ModulesToSaveWrapper": "it holds a copy of the block; leave the blocks out of modules_to_save",
}
OTHERWISE = (
    "patch the model before its blocks are wrapped, or name the blocks inside by blocks=[...]; the wrappers will see "
    "merged tokens"
)

# Who has changed a module's class -> what to do before the patch, and what holds after it.
CHANGED = {
    "fully_shard": ("patch a model before it is sharded", "once it is sharded it only runs"),
    "parametrize": (
        "patch the model first, and register parametrizations after",
        "torch.nn.utils.parametrize.remove_parametrizations gives it back",
    ),
}


def class_name(cls: type) -> str:
    """The name of a class, with its module unless that is torch's, timm's, torchvision's or our own."""
    package = cls.__module__.partition(".")[0]
    known = package in ("torch", "timm", "torchvision", "timm_mergemix")
    return cls.__qualname__ if known else f"{cls.__module__}.{cls.__qualname__}"


def changer_of(module: nn.Module) -> str | None:
    """The library, a key of `CHANGED`, that has replaced a module's class by a subclass; None if none has."""
    if any(base.__name__ == "FSDPModule" for base in type(module).__mro__):
        return "fully_shard"
    return "parametrize" if is_parametrized(module) else None


def takes_images_alone(module: nn.Module) -> bool:
    """Whether it is a model of transformers, or one with a head, whose input is images and nothing else."""
    is_pretrained = any(base.__name__ == "PreTrainedModel" for base in type(module).__mro__)
    return is_pretrained and getattr(type(module), "input_modalities", None) in (("image",), "image")


def is_sharded(module: nn.Module) -> bool:
    """Whether FSDP2 holds a part of it, which then has a class of its own."""
    return any(changer_of(part) == "fully_shard" for part in module.modules())


def reason_changed(module: nn.Module, place: str, changer: str) -> str:
    """What is said of a module whose class was changed, see `changer_of`; ``place`` is what the error calls it."""
    advice = CHANGED[changer][isinstance(module, MergingBlock | MergingModel)]
    whose = "its class" if place == "it" else f"the class of {place}"
    return f"{changer} has changed {whose} to {type(module).__name__}; {advice}"


def is_traced(module: nn.Module) -> bool:
    """Whether a module is what is left of another one after scripting, tracing or exporting it."""
    bases = {base.__name__ for base in type(module).__mro__}
    return not bases.isdisjoint({"ScriptModule", "GraphModule", "UnflattenedModule"})


def reason_not_plain(module: nn.Module, place: str, kinds: set[type]) -> str | None:
    """Why a module that should be of a known class is not, if something has been put around it or has changed it.

    Args:
        module: The module.
        place: What the error calls it.
        kinds: The known classes, of which one is looked for inside it.

    Returns:
        The reason, with what to do; None if the module is simply of another class.
    """
    cls = type(module)
    changer = changer_of(module)
    if changer is not None:
        return reason_changed(module, place, changer)
    if is_traced(module):
        return f"{place} is traced ({cls.__name__}); trace the whole model instead, after it was patched"
    advice = next((ADVICE[base.__name__] for base in cls.__mro__ if base.__name__ in ADVICE), None)
    inside = [type(part).__name__ for part in module.modules() if type(part) in kinds]
    if advice is None and len(inside) != 1:
        return None
    around = f" around {inside[0]}" if inside else ""
    return f"{place} is a wrapper of class {class_name(cls)}{around}; {advice or OTHERWISE}"
