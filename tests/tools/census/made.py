"""Models as the census makes them."""

from __future__ import annotations

from torch import nn

from tools.census.names import full_size
from tools.census.redraw import redraw
from tools.census.shrink import shrink


def small(name: str = "test_vit") -> nn.Module:
    """A timm model as the census checks it: made small, with parameters of its own."""
    return redraw(shrink(name, full_size(name)))
