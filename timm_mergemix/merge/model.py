"""What all patched models share: all tokens come back wherever something beside the prefix tokens is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from torch import nn

from .passes import Opened, refuse_symbols
from .scopes import Scope, scopes_of
from .script import scriptable
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
        return scriptable(self, self.merging)

    def take_out(self) -> None:
        """Makes the model one of its plain class again; its blocks are another matter."""
        self.__class__ = self.plain  # type: ignore[assignment]
        del self.merging

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


def _recovering(plain: Callable[..., Any]) -> Callable[..., Any]:
    run = _run

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return run(plain, self, args, kwargs)

    # torch.fx leaves those functions alone that it finds among the globals of a model's forward: timm's, not ours.
    own = FunctionType(forward.__code__, plain.__globals__, closure=forward.__closure__)
    return wraps(plain)(own)


def _run(plain: Callable[..., Any], self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not isinstance(self, MergingModel):  # unpatched since; a wrapper that holds this method calls it still
        return plain(self, *args, **kwargs)
    images = args[0] if args else None
    if self.merging.settings_here.schedule.merges_any:
        refuse_symbols(images)
    # What a user has put in place of the class's own may read any token.
    replaced = any(name in self.__dict__ for name in HEAD)
    with self.opened(images, replaced or self.head_reads_patches()):
        return plain(self, *args, **kwargs)
