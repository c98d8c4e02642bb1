"""What a context sets, for only the passes that its own thread or task begins."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextvars import ContextVar

import torch

from .record import Observer
from .settings import Settings

__all__ = ["Scope", "scopes_of"]


class Scope:
    """A context in which one patched model merges by other settings, or is observed.

    It holds for the thread that opened it, and for the asyncio task, with what that task starts. Contexts may be closed
    in any order, by any thread: each removes only itself.

    Args:
        owner: What the blocks of the model share.
        generation: How often the model had been patched. Once it is patched again, the settings no longer apply.
        settings: The settings inside; None leaves them as they are.
        observer: Watches the passes inside; None adds no observer.
    """

    def __init__(
        self, owner: object, generation: int, settings: Settings | None = None, observer: Observer | None = None
    ) -> None:
        self.owner = owner
        self.generation = generation
        self.settings = settings
        self.observer = observer
        self.open = False

    def __enter__(self) -> Scope:
        _TASK.set((*_still_open(_TASK.get()), self))
        _THREAD.scopes = (*_still_open(_THREAD.scopes), self)
        self.open = True  # last: an interrupt before this leaves nothing in force
        return self

    def __exit__(self, *error: object) -> None:
        self.open = False
        _TASK.set(_still_open(_TASK.get()))
        _THREAD.scopes = _still_open(_THREAD.scopes)


class _Thread(threading.local):
    """The scopes that this thread has opened, the innermost one last."""

    def __init__(self) -> None:
        self.scopes: tuple[Scope, ...] = ()


# A task's own, with those that it was started in. A compiler cannot trace it, but it can trace a thread-local object:
# compiled models see the scopes of all tasks of the thread.
_TASK: ContextVar[tuple[Scope, ...]] = ContextVar("timm_mergemix_scopes", default=())
_THREAD = _Thread()


def scopes_of(owner: object) -> tuple[Scope, ...]:
    """The open scopes of a patched model, the innermost one last."""
    scopes = _THREAD.scopes if torch.compiler.is_compiling() else _TASK.get()
    return tuple(scope for scope in scopes if scope.owner is owner and scope.open)


def _still_open(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    return tuple(scope for scope in scopes if scope.open)
