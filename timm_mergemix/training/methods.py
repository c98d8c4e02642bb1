"""What the demo compares, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_int, check_number

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
class DemoSettings:
    """What a user can set.

    Attributes:
        epochs: Epochs of each method.
        batch_size: Images per step; made even, which timm's Mixup asks for.
        lr: Peak learning rate.
        width: Channels of the ViT.
        depth: Blocks of the ViT.
        r: Tokens merged in each block, for MergeMix.
        preference: Weight of the preference term, for the method that has one.
        seed: All randomness follows it.
    """

    epochs: int = 24
    batch_size: int = 24
    lr: float = 2e-3
    width: int = 64
    depth: int = 4
    r: int = 6
    preference: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1)
        check_int("batch_size", self.batch_size, 2)
        check_number("lr", self.lr, 0.0)
        check_int("r", self.r, 0)
        check_number("preference", self.preference, 0)
        check_int("seed", self.seed, 0)
