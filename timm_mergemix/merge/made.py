"""What a merging class makes when it is called, as in ``type(model)(config)``."""

from __future__ import annotations

from functools import wraps
from typing import Any

from torch import nn

__all__ = ["make_plain"]


def make_plain(merging: type[nn.Module], plain: type[nn.Module]) -> None:
    """Lets a merging class make modules of its plain class: one merges by being patched, and not by how it was made."""
    if merging.__init__ is not plain.__init__:  # a mixin has one of its own
        return

    @wraps(plain.__init__)
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        self.__class__ = plain
        self.__init__(*args, **kwargs)

    merging.__init__ = make  # type: ignore[method-assign]
