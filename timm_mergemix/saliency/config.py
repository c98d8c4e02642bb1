"""How a saliency pass sees the images, and what is read of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..config import Config, number, option
from ..errors import wrong
from ..merge.schedule import TEXTS, R, check_r, typed_r

__all__ = ["LEAST_SCALE", "SaliencyConfig", "read_layer"]

LEAST_SCALE = 0.1


def read_layer(text: str) -> int | str:
    """The block or feature map that is read, from a word: its index, or ``"pool"``.

    Raises:
        MergeMixError: If it is neither.
    """
    try:
        return text if text == "pool" else int(text)
    except ValueError:
        raise wrong("layer", text, "the index of a block or feature map, or 'pool'") from None


def _check_layer(argument: str, value: Any) -> None:
    index = isinstance(value, Integral) and not isinstance(value, bool)
    if not index and not (isinstance(value, str) and value == "pool"):
        raise wrong(argument, value, "the index of a block or feature map, 'pool' or None")


@dataclass(frozen=True)
class SaliencyConfig(Config):
    """Settings of `SaliencyPass`. The statistics are checked there, where the encoder's channels are known."""

    saliency_r: R | None = option(
        ("keep", 0.5),
        f"token merging in the saliency pass: {TEXTS}",
        check_r,
        read=typed_r,
        metavar="R",
        optional=True,
    )
    saliency_scale: float = option(
        1.0,
        "size of the images in the saliency pass, as a share of their full size; 0.5 is the smallest sensible value",
        number(LEAST_SCALE, 1),
        read=float,
        metavar="SHARE",
    )
    layer: int | str | None = option(
        None,
        "block (or feature map) that is read, from 0 or negative from the end, or 'pool'; none is the second-to-last",
        _check_layer,
        read=read_layer,
        metavar="N",
        optional=True,
    )
    divide: bool = option(True, "divide a merged token's attention among its patches", read=bool)
    image_mean: Sequence[float] | None = option(None, "mean by which the batch was normalised", flag="")
    image_std: Sequence[float] | None = option(None, "standard deviation by which the batch was normalised", flag="")
    encoder_mean: Sequence[float] | None = option(None, "mean of the images that the encoder was trained on", flag="")
    encoder_std: Sequence[float] | None = option(
        None, "standard deviation of the images that the encoder was trained on", flag=""
    )
