"""How a vision-language model reads its vision model: which layer, and which tokens of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from ...errors import wrong
from ..families.backbone import Backbone
from ..state import Merging
from .reader import MergingReader

__all__ = ["IMAGE", "Kind", "Reading"]


class Kind(NamedTuple):
    """A kind of image in a prompt.

    Attributes:
        name: What transformers calls it in ``mm_encoder_outputs``.
        pixels: The argument that its pixels come by.
        token: The attribute of the config that holds the id of its token.
    """

    name: str
    pixels: str
    token: str


IMAGE = Kind("image", "pixel_values", "image_token_id")


@dataclass(frozen=True)
class Reading:
    """A vision-language model, found once, and what it takes from its vision model.

    Attributes:
        parts: The model that takes prompts, and that inside it without a head, which some call by itself.
        classes: What they become by a patch: plain class -> merging class.
        backbone: Its vision model.
        read_after: Number of blocks that have run when the tokens are read.
        other_tokens: Number of tokens that are read beside the patches.
        kinds: The kinds of image that it takes.
        fixed: Arguments of a call that would change what is read, and their values.
    """

    parts: tuple[Any, ...]
    classes: Mapping[type[nn.Module], type[nn.Module]]
    backbone: Backbone
    read_after: int
    other_tokens: int
    kinds: tuple[Kind, ...] = (IMAGE,)
    fixed: tuple[tuple[str, Any], ...] = ()

    def unread_blocks(self, backbone: Backbone) -> int:
        """Number of blocks after the tokens are read."""
        return len(backbone.blocks) - self.read_after

    @property
    def is_patched(self) -> bool:
        """Whether all parts read merged tokens."""
        return all(isinstance(part, MergingReader) for part in self.parts)

    def attach(self, state: Merging) -> None:
        """Makes the model read merged tokens; ``state`` is what the blocks of its vision model share."""
        for part in self.parts:
            part.merging = state  # first: by it a model is known that was left half patched
            part.reading = self
            part.__class__ = self.classes.get(type(part), type(part))
        state.recovering = False

    def check_call(self, kwargs: dict[str, Any]) -> None:
        """Raises where a call asks for other tokens than the model reads by its config.

        Raises:
            MergeMixError: If it does.
        """
        for name, value in self.fixed:
            if kwargs.get(name, value) not in (None, value):
                raise wrong(name, kwargs[name], f"{value!r}, which the model was patched with, or None")

    def features(self, model: Any, kind: Kind, kwargs: dict[str, Any]) -> Any:
        """What the language model reads of the images of a kind, which are taken out of the arguments."""
        return model.get_image_features(pixel_values=kwargs.pop(kind.pixels), return_dict=True)

    def padding_id(self, model: Any) -> int:
        """A token for padding that stands for no image; nothing attends to it."""
        images = {getattr(model.config, kind.token, None) for kind in self.kinds}
        text = model.config.get_text_config()
        known = (getattr(text, "pad_token_id", None), 0, 1, 2)
        return next(token for token in known if token is not None and token >= 0 and token not in images)
