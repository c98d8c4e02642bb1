"""Selects rows of a batch of model arguments, and joins two batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import Words, with_article, wrong

__all__ = ["IDS", "PIXELS", "find_images", "join", "plain_images", "take_rows"]

IDS, PIXELS = "input_ids", "pixel_values"
RAW = "before the processor: make losers with timm_mergemix.vlm.PairCollator"


def plain_images(batch: Mapping[str, Any]) -> Tensor:
    """The images of a batch, (images, C, H, W), if the processor returns plain images.

    Raises:
        MergeMixError: If it returns something else: patches, tiles, or no images.
    """
    images = batch.get(PIXELS)
    if isinstance(images, Tensor) and images.ndim == 5 and images.shape[1] == 1:
        images = images[:, 0]
    if not isinstance(images, Tensor) or images.ndim != 4:
        got = images if isinstance(images, Tensor) or images is None else Words(with_article(type(images).__name__))
        raise wrong(PIXELS, got, f"a tensor of shape (images, C, H, W); other images must be mixed {RAW}")
    return images


def find_images(batch: Mapping[str, Any], rows: int, token: int | None) -> list[int | None]:
    """Finds the index of each row's image; None for a row with no image or several.

    Args:
        batch: Arguments of a model, with plain images.
        rows: Number of rows.
        token: The token that stands for images in prompts. With None, each row must have exactly one image.

    Raises:
        MergeMixError: If images and prompts do not fit each other.
    """
    ids = batch.get(IDS)
    if batch.get(PIXELS) is None and token is not None and ids is not None and not bool((ids == token).any()):
        return [None] * rows
    images = len(plain_images(batch))
    if token is None or ids is None:
        if images != rows:
            raise wrong(PIXELS, batch[PIXELS], f"one image for each of the {rows} rows")
        return list(range(rows))
    places = (ids == token).sum(dim=1).tolist()
    each = sum(places) // images if images else 0
    if not each or each * images != sum(places) or any(count % each for count in places):
        got = Words(f"{sum(places)} image tokens ({token}) for {images} images")
        raise wrong(IDS, got, "the same number of image tokens for each image")
    found: list[int | None] = []
    first = 0
    for count in places:
        found.append(first if count == each else None)
        first += count // each
    return found


def take_rows(inputs: Mapping[str, Any], rows: Sequence[int], numbers: Sequence[int], images: Tensor) -> dict[str, Any]:
    """Takes the arguments of some rows of a batch, and replaces their images.

    Args:
        inputs: The arguments of the batch.
        rows: Indices of the rows.
        numbers: Index of each row's image in the batch.
        images: (n, C, H, W), the new images.

    Raises:
        MergeMixError: If an argument has neither one row per prompt nor one row per image.
    """
    count, given = len(inputs[IDS]) if IDS in inputs else len(inputs["labels"]), inputs[PIXELS]
    taken: dict[str, Any] = {}
    for name, value in inputs.items():
        if name == PIXELS:
            taken[name] = images if given.ndim == 4 else images.unsqueeze(1)
        elif not isinstance(value, Tensor) or not value.ndim:
            taken[name] = value
        elif len(value) == count and not (len(given) == count and _is_of_images(value, inputs)):
            taken[name] = value[torch.tensor(rows, device=value.device)]
        elif len(value) == len(given):
            taken[name] = value[torch.tensor(numbers, device=value.device)]
        else:
            raise wrong(
                name, value, f"{count} rows, one per prompt, or {len(given)}, one per image; or images mixed {RAW}"
            )
    return taken


def _is_of_images(value: Tensor, inputs: Mapping[str, Any]) -> bool:
    """Whether an argument belongs to images rather than prompts, whose arguments all have the prompt length."""
    return IDS in inputs and value.shape[:2] != inputs[IDS].shape


def join(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Concatenates the arguments of two batches whose prompts have the same length."""
    return {
        name: torch.cat([value, second[name]]) if isinstance(value, Tensor) and value.ndim else value
        for name, value in first.items()
    }
