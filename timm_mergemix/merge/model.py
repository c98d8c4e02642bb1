"""What all patched models share: all tokens come back wherever something beside the prefix tokens is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from ..errors import Words, wrong
from .passes import Merging, refuse_symbols

__all__ = ["MergingModel"]

HEAD = ("forward_features", "forward_head", "pool")


class MergingModel(nn.Module):
    """Mixin before a model's own class."""

    merging: Merging

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A forward for each class, since exporters name a model's inputs by the signature of its own.
        super().__init_subclass__(**kwargs)
        plain: Any = next(
            base for base in cls.__mro__ if "forward" in vars(base) and not issubclass(base, MergingModel)
        )
        cls.forward = _recovering(plain.forward)

    def __prepare_scriptable__(self) -> nn.Module:
        raise wrong(
            "torch.jit.script",
            Words(f"a patched {type(self).__name__}"),
            "an unpatched model: merging cannot be scripted; torch.jit.trace, torch.export and torch.compile work",
        )

    def head_reads_patches(self) -> bool:
        """Whether patch tokens reach the head, so that they must be recovered before it."""
        return True


def _recovering(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def recovering_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self, MergingModel):  # unpatched since; a wrapper that holds this method calls it still
            return forward(self, *args, **kwargs)
        refuse_symbols(args[0] if args else None)
        # What a user has put in place of the class's own may read any token.
        replaced = any(name in self.__dict__ for name in HEAD)
        with self.merging.during(recovering=replaced or self.head_reads_patches()):
            return forward(self, *args, **kwargs)

    return recovering_forward
