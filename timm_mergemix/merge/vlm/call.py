"""One call of a patched vision-language model: whether it becomes shorter, and by which arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import wrong
from .images import count_places
from .prompt import Places, Shortened, shorten

__all__ = ["Call"]

# Arguments with one entry for each token of the prompt, and what padding has there.
ALONG = {"token_type_ids": 0, "mm_token_type_ids": 0, "labels": -100, "inputs_embeds": 0}


class Call:
    """A call with its arguments by name.

    Args:
        model: The patched model.
        kwargs: The arguments, which are left as they are.
    """

    def __init__(self, model: Any, kwargs: dict[str, Any]) -> None:
        self.model = model
        self.kwargs = kwargs
        # Read once: another thread may unpatch the model at this moment.
        self.merging, self.reading = (vars(model).get(name) for name in ("merging", "reading"))
        kinds = () if self.reading is None or self.merging is None else self.reading.kinds
        self.kinds = [kind for kind in kinds if kwargs.get(kind.pixels) is not None]

    @property
    def shortens(self) -> bool:
        """Whether there are images, of which anything merges."""
        return bool(self.kinds) and self.merging.settings_here.schedule.merges_any

    def shorten(self, left: bool | None = None) -> tuple[Shortened, dict[str, Any]]:
        """The shorter prompt, and the arguments for it: with features in place of images.

        Args:
            left: Whether padding comes first; None looks where the caller has it.

        Raises:
            MergeMixError: If the prompt does not fit the images.
        """
        kwargs, reading = dict(self.kwargs), self.reading
        reading.check_call(kwargs)
        mask = _checked(kwargs.get("attention_mask"))
        places = [
            Places(*count_places(self.model, reading, self.merging.settings_here, kind, kwargs)) for kind in self.kinds
        ]
        short = shorten(places, _begins_with_padding(mask) if left is None else left, mask)
        features = {kind.name: reading.features(self.model, kind, kwargs) for kind in self.kinds}
        kwargs["mm_encoder_outputs"] = features
        if kwargs.get("input_ids") is not None:
            kwargs["input_ids"] = short.take(kwargs["input_ids"], reading.padding_id(self.model))
        for name, fill in ALONG.items():
            if kwargs.get(name) is not None:
                kwargs[name] = short.take(kwargs[name], fill)
        if kwargs.get("position_ids") is not None:
            kwargs["position_ids"] = short.positions(kwargs["position_ids"])
        kwargs["attention_mask"] = short.attention_mask(mask)
        return short, kwargs


def _checked(mask: Any) -> Tensor | None:
    if mask is not None and (not isinstance(mask, Tensor) or mask.ndim != 2):
        raise wrong("attention_mask", mask, "None or a tensor of shape (B, L), since merging shortens the prompt")
    return mask


def _begins_with_padding(mask: Tensor | None) -> bool:
    return mask is not None and not bool(mask[:, 0].all())
