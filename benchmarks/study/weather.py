"""Fog, rain and snow over images, for a trained model to be tested on."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

__all__ = ["WEATHER", "fog", "rain", "snow"]

OCTAVES = 2, 4, 8, 16
FOG = 0.45, 0.4  # how dense it is where there is least, and how much more where there is most
DROPS, FLAKES = 0.006, 0.012  # of the pixels, before they are drawn out


def fog(pixels: Tensor) -> Tensor:
    """Light clouds, thicker in some places, (B, C, H, W) of values from 0 to 1; torch's generator governs."""
    clouds = torch.zeros(len(pixels), 1, *pixels.shape[-2:])
    for cells in OCTAVES:
        noise = torch.rand(len(pixels), 1, cells, cells)
        clouds += F.interpolate(noise, size=pixels.shape[-2:], mode="bilinear") / cells
    low, high = clouds.amin(dim=(2, 3), keepdim=True), clouds.amax(dim=(2, 3), keepdim=True)
    density = FOG[0] + FOG[1] * (clouds - low) / (high - low).clamp_min(1e-6)
    return torch.lerp(pixels, torch.full_like(pixels, 0.85), density.to(pixels))


def rain(pixels: Tensor) -> Tensor:
    """Light streaks that slant over darker images; arguments are those of `fog`."""
    length = max(3, pixels.shape[-1] // 8)
    steps = torch.arange(length)
    streak = torch.zeros(1, 1, length, length)
    streak[0, 0, steps, (length - 1) - steps // 3] = 1.0
    drops = (torch.rand(len(pixels), 1, *pixels.shape[-2:]) < DROPS).float()
    streaks = F.conv2d(F.pad(drops, [length // 2, (length - 1) // 2] * 2), streak).clamp(0, 1)
    return torch.lerp(0.75 * pixels, torch.ones_like(pixels), 0.6 * streaks.to(pixels))


def snow(pixels: Tensor) -> Tensor:
    """White flakes of several sizes over paler images; arguments are those of `fog`."""
    flakes = torch.zeros(len(pixels), 1, *pixels.shape[-2:])
    for sigma in (pixels.shape[-1] / 200, pixels.shape[-1] / 80):
        points = (torch.rand(len(pixels), 1, *pixels.shape[-2:]) < FLAKES).float()
        blurred = TF.gaussian_blur(points, [2 * round(3 * sigma) + 1] * 2, [sigma] * 2)
        # A flake has the same brightness whatever its size.
        flakes = torch.maximum(flakes, blurred * (2 * torch.pi * sigma**2 + 1))
    pale = torch.lerp(pixels, torch.ones_like(pixels), 0.2)
    return torch.lerp(pale, torch.ones_like(pixels), flakes.clamp(0, 1).to(pixels))


# Of pixels (B, C, H, W) from 0 to 1.
WEATHER: dict[str, Callable[[Tensor], Tensor]] = {"fog": fog, "rain": rain, "snow": snow}
