"""The mixin of patched vision-language models: a prompt loses the places for which no image token arrives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from ..state import Merging
from .call import Call
from .outputs import columns_of, in_full_length, shorter_lengths, with_prompt

__all__ = ["MergingGenerator", "MergingReader"]


class MergingReader(nn.Module):
    """Mixin before the class of a vision-language model.

    Its vision model hands on merged tokens. The prompt that its language model gets is shorter by those that merged;
    what the caller gets back has the length of the caller's own prompt.

    Attributes:
        merging: What the blocks of the vision model share.
        plain: The class that it stands for.
        reading: A `Reading`: how it reads its vision model.
    """

    merging: Merging
    plain: type[nn.Module]
    reading: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        plain: Any = cls.__bases__[-1]
        if not issubclass(plain, MergingReader):
            cls.plain, cls.__name__, cls.forward = plain, plain.__name__, _shortening(plain.forward)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return ", ".join(filter(None, (super().extra_repr(), repr(self.merging))))

    @classmethod
    def is_custom_code(cls) -> bool:
        """Whether the plain class is custom code in the sense of transformers."""
        plain: Any = cls.plain
        return plain.is_custom_code()

    def take_out(self) -> None:
        """Gives the model its plain class again. Its vision model is not changed."""
        self.__class__ = self.plain  # type: ignore[assignment]
        vars(self).pop("reading", None)
        del self.merging  # last: by it a model is known that was left half patched


class MergingGenerator(MergingReader):
    """`MergingReader` for a model that generates text."""

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, generation_config: Any = None, **kwargs: Any) -> Any:
        """transformers' own, on the shorter prompt. The sequences that come back begin with the caller's prompt.

        Args:
            inputs: (B, L) int64, the prompt; or by ``input_ids``.
            generation_config: As transformers has it. ``max_length`` and ``min_length`` count the caller's prompt.
            **kwargs: As transformers has them.

        Raises:
            MergeMixError: If the places for images in the prompt do not fit the images.
        """
        plain: Any = self.plain
        if inputs is not None:
            kwargs["input_ids"] = inputs
        call = Call(self, kwargs)
        if not call.shortens:
            return plain.generate(self, generation_config=generation_config, **kwargs)
        prompt = kwargs.get("input_ids")
        short, kwargs = call.shorten(left=True)
        length = short.taken.shape[1]
        lost = short.back.shape[1] - length
        config = shorter_lengths(getattr(self, "generation_config", None), generation_config, kwargs, lost)
        out = plain.generate(self, generation_config=config, **kwargs)
        return out if prompt is None else with_prompt(out, prompt, length)


def _shortening(plain: Callable[..., Any]) -> Callable[..., Any]:
    names = list(inspect.signature(plain).parameters)[1:]

    @wraps(plain)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs |= dict(zip(names, args, strict=False))
        call = Call(self, kwargs)
        if not call.shortens:
            return plain(self, **kwargs)
        short, kwargs = call.shorten()
        as_tuple = kwargs.pop("return_dict", None) is False
        columns, kept = columns_of(short.back, kwargs.pop("logits_to_keep", 0))
        if "logits_to_keep" in names:
            kwargs["logits_to_keep"] = kept
        out = in_full_length(plain(self, return_dict=True, **kwargs), columns)
        return out.to_tuple() if as_tuple else out

    return forward
