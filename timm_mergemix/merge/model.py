"""What all patched models share: all tokens come back wherever something beside the prefix tokens is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from ..errors import Words, wrong
from .passes import Opened, refuse_symbols
from .scopes import Scope, scopes_of
from .state import Merging

__all__ = ["MergingModel"]

HEAD = ("forward_features", "forward_head", "pool")


class MergingModel(nn.Module):
    """Mixin before a model's own class."""

    merging: Merging
    plain: type[nn.Module]
    inherited: tuple[Scope, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        plain: Any = cls.__bases__[-1]
        if not issubclass(plain, MergingModel):  # else a mixin, or what FSDP makes of one of these
            # A forward for each class, since exporters name a model's inputs by the signature of its own.
            cls.plain, cls.__name__, cls.forward = plain, plain.__name__, _recovering(plain.forward)

    def _replicate_for_data_parallel(self) -> Any:
        # Replicas run in threads of their own.
        replica = super()._replicate_for_data_parallel()
        replica.inherited = scopes_of(self.merging)
        return replica

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return ", ".join(filter(None, (super().extra_repr(), repr(self.merging))))

    def __prepare_scriptable__(self) -> nn.Module:
        raise wrong(
            "torch.jit.script",
            Words(f"a patched {type(self).__name__}"),
            "an unpatched model: merging cannot be scripted; torch.jit.trace, torch.export and torch.compile work",
        )

    def opened(self, images: Any = None, recovering: bool = True, exposing: bool = False) -> Opened:
        """The context of a method that runs the blocks: a pass of its own, whatever is under way around it."""
        new = self.merging.begin(
            self.inherited, self.count_blocks(), images, opened=True, recovering=recovering, exposing=exposing
        )
        return Opened(self.merging.here, new)

    def count_blocks(self) -> int:
        """Number of blocks that run."""
        return self.merging.depth

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
        with self.opened(args[0] if args else None, replaced or self.head_reads_patches()):
            return forward(self, *args, **kwargs)

    return recovering_forward
