"""The inputs of the models: images, and padded batches of images of several sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .shrink import grid, patch_pixels

Input = Tensor | dict[str, Tensor]


def inputs(model: nn.Module) -> dict[str, Input]:
    """Returns the inputs for a model, by the name of the case."""
    cases: dict[str, Input] = {"image": images(model)}
    if type(model).__name__.startswith(("NaFlexVit", "Gemma4")):
        cases["padded"] = padded(model)
    return cases


def images(model: nn.Module, batch: int = 2) -> Tensor:
    """Normally distributed images."""
    size = grid(model) * patch_pixels(model)
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def padded(model: nn.Module) -> dict[str, Tensor]:
    """A batch of two images as patches: the second image is shorter and padded."""
    side, pixels = grid(model), patch_pixels(model)
    patches = torch.randn(2, side * side, pixels * pixels * 3, generator=torch.Generator().manual_seed(0))
    coord = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), dim=-1).flatten(0, 1)
    coord = coord.expand(2, -1, -1).clone()
    valid = torch.ones(2, side * side, dtype=torch.bool)
    missing_rows = 3 if side == 6 else 1  # pooling over 3 x 3 patches needs a grid divisible by 3
    valid[1, -side * missing_rows :] = False
    patches[~valid] = 0
    coord[~valid] = -1 if type(model).__name__.startswith("Gemma4") else 0
    return {"patches": patches, "patch_coord": coord, "patch_valid": valid}


def alone(x: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    """One sample of a padded batch."""
    return {key: value[index : index + 1] for key, value in x.items()}


def tensor(output: Any) -> Tensor:
    """Returns the output of a model as one tensor."""
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, (tuple, list)):
        return torch.cat([part.float().flatten() for part in output if isinstance(part, Tensor)])
    return output
