"""Batch transforms for torchvision.transforms.v2, beside its MixUp and CutMix. They also mix masks and boxes."""

from .mergemix import MergeMix
from .peers import CutMix, Mixup, ResizeMix

__all__ = ["CutMix", "MergeMix", "Mixup", "ResizeMix"]
