"""Settings for making the losers of questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..config import Config, integer, option
from ..errors import check_positive, wrong

__all__ = ["ENCODED", "KINDS", "ImageMixConfig"]

ENCODED = ("mergemix", "random")  # these choose patches on the grid of an encoder
KINDS = (*ENCODED, "cutmix", "mixup", "resizemix")


def _check_words(argument: str, value: Any) -> None:
    is_list = isinstance(value, (list, tuple, set, frozenset))
    if not is_list or not all(isinstance(word, str) and word for word in value):
        raise wrong(argument, value, "a list of words, such as ('yes', 'no'), or ()")


@dataclass(frozen=True)
class ImageMixConfig(Config):
    """Settings of `timm_mergemix.vlm.ImageMixer`."""

    kind: str = option(
        "mergemix",
        "how two images are mixed; random chooses patches at random instead of by attention",
        choices=KINDS,
        flag="",
    )
    alpha: float = option(1.0, "lam ~ Beta(alpha, alpha)", check_positive, flag="")
    leave_out: tuple[str, ...] | None = option(
        None,
        "questions with these answers get no loser, since the answers are right for too many other images",
        _check_words,
        optional=True,
        flag="",
    )
    store: int = option(16, "images of earlier batches that are kept as partners", integer(0), flag="")
