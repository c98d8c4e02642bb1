"""What all patched models share: all tokens come back wherever something beside the prefix tokens is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from types import FunctionType
from typing import Any

from torch import nn

from ..errors import Words, wrong
from .blocks import MergingBlock
from .made import make_plain
from .passes import Opened, refuse_symbols
from .scopes import Scope, scopes_of
from .script import scriptable
from .settings import Settings
from .state import Merging

__all__ = ["MergingModel", "merging_of", "open_pass", "plain_of"]

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
            make_plain(cls, plain)

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

    def opened(self, recovering: bool = True, exposing: bool = False) -> Opened:
        """The context of a method that runs the blocks: a pass of its own, whatever is under way around it."""
        return open_pass(type(self), self, self.merging, recovering, exposing)

    @staticmethod
    def blocks_of(model: Any) -> Any:
        """The container of the blocks as it is now; some may have been cut off."""
        return model.blocks

    def head_reads_patches(self) -> bool:
        """Whether patch tokens reach the head, so that they must be recovered before it."""
        return True

    @classmethod
    def named(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call of forward by their names, as far as a family looks at them."""
        return kwargs

    def shows_tokens(self, call: dict[str, Any]) -> bool:
        """Whether a call with these arguments returns the tokens after each block too."""
        return False

    def resizes(self, call: dict[str, Any]) -> bool:
        """Whether a call with these arguments takes images of another size than the model's own."""
        return False

    def begin_call(self, merging: Merging, call: dict[str, Any]) -> None:
        """What a call does before its blocks run, once its pass is open."""


def _recovering(plain: Callable[..., Any]) -> Callable[..., Any]:
    run = _run

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return run(plain, self, args, kwargs)

    # torch.fx leaves those functions alone that it finds among the globals of a model's forward: timm's, not ours.
    own = FunctionType(forward.__code__, plain.__globals__, closure=forward.__closure__)
    return wraps(plain)(own)


def _run(plain: Callable[..., Any], self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    cls, merging = type(self), merging_of(self)
    if merging is None:  # unpatched since; a wrapper that holds this method calls it still
        return plain(self, *args, **kwargs)
    if merging.settings_here.schedule.merges_any:
        refuse_symbols(args[0] if args else None)
    # What a user has put in place of the class's own may read any token.
    replaced = any(name in self.__dict__ for name in HEAD)
    recovering = replaced or cls.head_reads_patches(self)
    call = cls.named(args, kwargs)
    opened = open_pass(cls, self, merging, recovering, exposing=cls.shows_tokens(self, call))
    if cls.resizes(self, call):
        opened.new.most_patches = None
    with opened:
        cls.begin_call(self, merging, call)
        return plain(self, *args, **kwargs)


# Another thread may unpatch the model while it runs without merging, in a context that it closes. So what follows reads
# class and state once, and asks the module itself for nothing that an unpatched one does not have.


def merging_of(model: Any) -> Merging | None:
    """What the blocks of a model share; None if it is not patched."""
    merging: Merging | None = model.__dict__.get("merging")
    return merging if isinstance(model, MergingModel) else None


def plain_of(cls: Any) -> Any:
    """The class that a merging class of models stands for; a plain one is returned as it is."""
    return cls.plain if issubclass(cls, MergingModel) else cls


def open_pass(cls: Any, model: Any, merging: Merging, recovering: bool = True, exposing: bool = False) -> Opened:
    """Opens a pass for a model, as `MergingModel.opened` does; ``cls`` is the model's merging class."""
    blocks = cls.blocks_of(model)
    if not hasattr(type(blocks), "__iter__") and not hasattr(type(blocks), "__getitem__"):
        raise wrong("blocks", blocks, "a container of blocks, not a wrapper around one; wrap the whole model")
    blocks = list(blocks)
    inherited = model.__dict__.get("inherited", ())
    recovering, exposing = recovering and merging.recovering, exposing and merging.recovering
    new = merging.begin(inherited, len(blocks), opened=True, recovering=recovering, exposing=exposing)
    _check_blocks(blocks, merging, new.settings)
    return Opened(merging.here, new)


def _check_blocks(blocks: Any, merging: Merging, settings: Settings) -> None:
    """Raises where the blocks that run are not those that were patched, and it matters."""
    for index, block in enumerate(blocks):
        held: Any = block if isinstance(block, MergingBlock) else next(_merging_blocks(block), block)
        owner = held.__dict__.get("merging")
        strange = owner is not merging or held.__dict__.get("merge_index") != index
        merges = settings.schedule.merges_any or (owner is not None and owner.settings_here.schedule.merges_any)
        if strange and merges:
            kind = "a" if owner is None else "another or a copied"
            raise wrong(
                "blocks",
                Words(f"{kind} {type(block).__name__} as block {index}"),
                "the blocks that were patched; unpatch the model before you change its blocks, then patch it again",
            )


def _merging_blocks(module: nn.Module) -> Iterator[MergingBlock]:
    return (part for part in module.modules() if isinstance(part, MergingBlock))
