"""Patches models with r = 0 on one side of the comparison and leaves them alone on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import nn

import timm_mergemix as mm

M = TypeVar("M", bound=nn.Module)


@dataclass
class Patcher:
    """Patches the models that a test builds.

    Attributes:
        patches: Whether to patch; otherwise models that could be patched are only counted.
        count: Number of models of the current test that can be patched.
    """

    patches: bool
    count: int = 0

    def __call__(self, model: M) -> M:
        """Returns the model itself, patched with r = 0 on the patched side if possible."""
        if mm.supported(model):
            self.count += 1
            if self.patches:
                mm.patch(model, 0)
        return model
