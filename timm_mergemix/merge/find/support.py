"""What can be patched, and why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches

import timm
from torch import nn

from ...errors import MergeMixError, wrong
from ..families import PLAIN_BLOCKS
from .feature_maps import feature_maps_of
from .refusals import UnsupportedError
from .search import find_backbone
from .sketch import sketch

__all__ = ["Support", "check_name", "like", "supported"]


@dataclass(frozen=True)
class Support:
    """Whether a model can be patched. True or False as a whole.

    Attributes:
        name: The model's name or class.
        family: The kind of model, None if it is not supported.
        blocks: Number of blocks that merge.
        reason: Why it is not supported, None if it is.
        classes: The classes of these blocks and how many there are of each, in the order in which they run.
        strides: Of a model that cannot be patched, the strides in pixels of the feature maps that MergeMix can read in
            place of attention; empty if there are none.
    """

    name: str
    family: str | None = None
    blocks: int = 0
    reason: str | None = None
    classes: tuple[tuple[str, int], ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def reads(self) -> str:
        """What MergeMix reads of the model, in words; empty where it can read nothing."""
        if self.reason is None:
            return "attention"
        return f"feature maps of stride {', '.join(map(str, dict.fromkeys(self.strides)))}" if self.strides else ""

    @property
    def merges(self) -> str:
        """The blocks that merge, in words: ``"12 x EvaBlock"``; empty where the model is not supported."""
        return " + ".join(f"{count} x {cls}" for cls, count in self.classes)

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        if self.reason is not None:
            reads = f"; MergeMix reads its {self.reads}" if self.strides else ""
            return f"{self.name}: cannot be patched: {self.reason}{reads}"
        return f"{self.name}: supported as {self.family}, merges in {self.merges}"


def supported(model: nn.Module | str) -> Support:
    """Tells whether a model can be patched, and what MergeMix can read of it; never changes it.

    Args:
        model: A module, or what ``timm.create_model`` takes, such as the name of a timm model. A model of that name is
            built without weights to look at it.

    Returns:
        A `Support`, true where the model can be patched, with the reason where it cannot.

    Raises:
        MergeMixError: If timm knows no model of that name.
    """
    if not isinstance(model, str):
        return _look(type(model).__name__, model)
    check_name("model", model)
    try:
        module = sketch(lambda: timm.create_model(model, pretrained=False))
    except Exception as error:  # whatever a model's code, or a package that it misses, may raise
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return Support(model, reason=f"timm cannot build it: {message}")
    return _look(model, module)


def check_name(argument: str, name: str) -> None:
    """Raises unless timm knows a model of that name, or it names a place such as ``hf-hub:user/model``.

    Args:
        argument: Name of the argument, for the error.
        name: What came.

    Raises:
        MergeMixError: If it does not; the message names models of similar names.
    """
    if ":" in name or timm.is_model(name.removeprefix("timm/")):
        return
    hub = ""
    if "/" in name:  # as models are called on the Hugging Face Hub
        hub = (
            f". Weights for timm on the Hugging Face Hub are written hf-hub:{name}. A model of transformers is loaded "
            "by transformers and handed over itself: timm_mergemix.patch(model, r)"
        )
    raise wrong(argument, name, f"the name of a timm model{hub or like(name)}")


def like(name: str) -> str:
    """Names of timm models that are similar to one, as the end of an error's message; empty if there are none."""
    models = timm.list_models()
    words = [model.split("_") for model in models]
    # Also what names begin with: to "vit_smal", vit_small_patch16_224 is closer than any short name.
    stems = {"_".join(parts[:count]) for parts in words for count in range(1, len(parts) + 1)}
    close: list[str] = []
    for stem in get_close_matches(name, sorted(stems)):
        family = [model for model in models if f"{model}_".startswith(f"{stem}_")]
        close += [model for model in get_close_matches(name, family, cutoff=0) if model not in close]
    return f", such as {', '.join(close[:3])}" if close else ""


def _look(name: str, module: nn.Module) -> Support:
    try:
        backbone = find_backbone(module)
    except MergeMixError as error:
        reason = error.reason if isinstance(error, UnsupportedError) else str(error)
        maps = feature_maps_of(module)
        return Support(name, reason=reason, strides=() if maps is None else maps.strides)
    # A patched model is reported by the blocks that it had before.
    classes = Counter(PLAIN_BLOCKS.get(type(block), type(block)).__name__ for block in backbone.blocks)
    return Support(name, backbone.name, len(backbone.blocks), classes=tuple(classes.items()))
