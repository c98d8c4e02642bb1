"""What the demo compares, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, integer, number, option, read_number

__all__ = ["METHODS", "PREFERENCE", "DemoSettings", "Method"]


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        name: Short name, also of its directory.
        title: Shown to people.
        mixer: Name for `build_mixer`.
        merges: Whether it trains and is tested with token merging.
        preference: Whether it trains with the preference of the clean image over its mix.
    """

    name: str
    title: str
    mixer: str
    merges: bool
    preference: bool = False


METHODS: tuple[Method, ...] = (
    Method("mergemix", "MergeMix", "mergemix", True),
    Method("timm", "Mixup+CutMix (timm)", "timm", False),
)
PREFERENCE = Method("preference", "MergeMix + preference", "mergemix", True, preference=True)


@dataclass(frozen=True)
class DemoSettings(Config):
    """What a user can set of the training."""

    epochs: int = option(24, "epochs of each method; 1 with --vlm", integer(1), read=read_number)
    # Made even, which timm's Mixup requires.
    batch_size: int = option(24, "images per step", integer(2), read=int)
    lr: float = option(2e-3, "peak learning rate", number(0), read=float)
    width: int = option(64, "channels of the ViT, a multiple of 32", read=int)
    depth: int = option(4, "blocks of the ViT", read=int)
    r: int = option(6, "tokens merged in each block, for MergeMix", integer(0), read=int)
    preference: float = option(1.0, "weight of the preference, for the method that has one", number(0), flag="")
    seed: int = option(0, "seed of all random numbers", integer(0), flag="")
