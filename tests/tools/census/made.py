"""Builds models in the same way as the census."""

from __future__ import annotations

from torch import nn

from tools.census.names import full_size
from tools.census.redraw import redraw
from tools.census.shrink import shrink


def small(name: str = "test_vit") -> nn.Module:
    """A small timm model with redrawn parameters, as the census checks it."""
    return redraw(shrink(name, full_size(name)))
