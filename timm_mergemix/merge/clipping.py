"""What is said where an int or a decreasing ``r`` asks for far more merges than there are tokens."""

from __future__ import annotations

import sys
import warnings

from .families import Backbone
from .info import planned_tokens
from .schedule import Schedule, clipped_blocks, parse, resolve
from .settings import Settings

__all__ = ["clipping", "warn_of_clipping"]

# In the last blocks of a model few tokens are left, and to be clipped there is usual.
USUAL_SHARE = 0.25
PACKAGE = __name__.split(".")[0]


def clipping(backbone: Backbone, schedule: Schedule, size: tuple[int, int] | None = None) -> str:
    """What is wrong with a schedule that is clipped in more than the last blocks; empty where it is not.

    Args:
        backbone: The model.
        schedule: How it merges.
        size: Height and width of the images in pixels. None takes the size that the model was made for; where there is
            none, nothing is said.
    """
    size = backbone.default_size if size is None else size
    if size is None:
        return ""
    patches, depth = backbone.count_patches(*size), schedule.depth
    clipped = clipped_blocks(schedule, patches)
    if clipped <= max(1, USUAL_SHARE * depth):
        return ""
    left = ", ".join(map(str, dict.fromkeys(planned_tokens(backbone, Settings(schedule), size))))
    unclipped = patches // (depth + 1)
    smaller = f"r={unclipped}, or " if unclipped else ""
    least = patches - sum(resolve(parse(patches, depth), patches))
    share = "keep:0.25" if least <= patches / 4 else "keep:0.5"  # half can always be kept
    return (
        f"r={schedule.r!r} is clipped in {clipped} of {depth} blocks of {type(backbone.model).__name__}, since a block "
        f"merges at most half of its patch tokens: images of {size[0]} x {size[1]} pixels leave {left} tokens. "
        f"Take {smaller}a share of the tokens, such as r='{share}'."
    )


def warn_of_clipping(backbone: Backbone, schedule: Schedule) -> None:
    """Warns of `clipping` at the size that the model was made for, at the line outside this package that caused it."""
    message = clipping(backbone, schedule)
    if message:
        warnings.warn(message, stacklevel=1 + _own_frames())


def _own_frames() -> int:
    """The number of frames from the caller up that are this package's, or those of its context managers."""
    count, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in (PACKAGE, "contextlib"):
        count, frame = count + 1, frame.f_back
    return count
