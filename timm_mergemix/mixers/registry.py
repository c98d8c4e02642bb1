"""Mixers by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import check_choice, unusable, wrong

# The command line lists the names, and must not wait for torch; a mixer is imported when it is asked for.
if TYPE_CHECKING:
    from ..mix.mixer import Mixer

__all__ = ["create_mixer", "list_mixers", "register_mixer", "takes", "takes_encoder"]

GROUP = "timm_mergemix.mixers"
F = TypeVar("F", bound="Callable[..., Mixer]")

_HOMES = {
    "mergemix": "mergemix:MergeMix",
    "mixup": "mixup:Mixup",
    "cutmix": "mixup:cutmix",
    "resizemix": "resizemix:ResizeMix",
}
_OWN = {name: EntryPoint(name, f"{__package__}.{home}", GROUP) for name, home in _HOMES.items()}
_MIXERS: dict[str, Callable[..., Mixer]] = {}  # those that were registered


def create_mixer(name: str, **kwargs: Any) -> Mixer:
    """Makes a mixer by name.

    Args:
        name: ``"mergemix"``, ``"mixup"``, ``"cutmix"``, ``"resizemix"``, or a name that was registered.
        **kwargs: Arguments of the mixer.

    Raises:
        MergeMixError: If there is no such mixer, or it does not take the arguments.
    """
    factory = _find(name)
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        raise unusable(f"create_mixer({name!r}, ...)", error) from None
    return factory(**kwargs)


def list_mixers() -> list[str]:
    """The names that `create_mixer` takes."""
    return sorted({*_OWN, *_MIXERS, *_advertised()})


def takes_encoder(name: str) -> bool:
    """Whether the mixer of that name reads a model's attention."""
    return takes(name, "encoder")


def takes(name: str, argument: str) -> bool:
    """Whether the mixer of that name takes an argument."""
    return argument in inspect.signature(_find(name)).parameters


@functools.cache
def _advertised() -> Mapping[str, Any]:
    """Mixers of installed packages, by name; imported when they are asked for."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _find(name: str) -> Callable[..., Mixer]:
    check_choice("name", name, list_mixers())
    if name in _OWN:
        mixer: Callable[..., Mixer] = _OWN[name].load()
        return mixer
    if name not in _MIXERS:
        point = _advertised()[name]
        try:
            factory = point.load()
        except Exception as error:  # whatever an import raises
            raise unusable("name", f"{name!r} of {point.value} cannot be imported: {error}") from error
        # Its module may have registered it already, by the decorator.
        return _MIXERS.get(name) or register_mixer(name)(factory)
    return _MIXERS[name]


def register_mixer(name: str) -> Callable[[F], F]:
    """Decorator that adds a mixer class, or a function that returns a mixer, under a name.

    An installed package makes a mixer known without an import by an entry point of the group ``timm_mergemix.mixers``.

    Raises:
        MergeMixError: If the name is taken by something else.
    """
    if not isinstance(name, str) or not name:
        raise wrong("name", name, "a name")

    def add(factory: F) -> F:
        if not callable(factory):
            raise wrong("factory", factory, "a mixer class, or a function that returns a mixer")
        taken = _OWN[name].load() if name in _OWN else _MIXERS.get(name, factory)
        if taken is not factory:
            raise wrong("name", name, "an unused name, not one of " + ", ".join(list_mixers()))
        _MIXERS[name] = factory
        return factory

    return add
