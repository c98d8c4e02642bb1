"""Models as a side of the comparison wants them: patched with r = 0, or left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import nn

import timm_mergemix as mm

M = TypeVar("M", bound=nn.Module)


@dataclass
class Patcher:
    """Patches what a test builds.

    Attributes:
        patches: Whether this side patches; the other counts only what could be.
        count: Models of the present test that can be patched.
    """

    patches: bool
    count: int = 0

    def __call__(self, model: M) -> M:
        """The model itself; patched with r = 0 on the patched side, if it can be."""
        if mm.supported(model):
            self.count += 1
            if self.patches:
                mm.patch(model, 0)
        return model
