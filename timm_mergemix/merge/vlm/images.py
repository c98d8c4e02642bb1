"""Places of images in a prompt, and whether they fit the images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import Words, with_article, wrong
from ..schedule import resolve
from ..settings import Settings

__all__ = ["count_places"]


def count_places(
    model: Any, reading: Any, settings: Settings, kind: Any, kwargs: dict[str, Any]
) -> tuple[Tensor, int, int]:
    """Where images of a kind stand in a prompt, how many places each takes, and how many of them stay.

    Args:
        model: A patched vision-language model.
        reading: How it reads its vision model.
        settings: How that merges.
        kind: A `Kind` of image.
        kwargs: The arguments of the call.

    Raises:
        MergeMixError: If the prompt has other places than the images need.
    """
    pixels = kwargs[kind.pixels]
    if not isinstance(pixels, Tensor) or pixels.ndim not in (4, 5):
        got = pixels if isinstance(pixels, Tensor) else Words(with_article(type(pixels).__name__))
        raise wrong(kind.pixels, got, "a tensor of shape (images, C, H, W): all images of one size")
    size, only = tuple(pixels.shape[-2:]), reading.backbone.only_size
    if only is not None and size != only:
        raise wrong(kind.pixels, Words(f"images of {size[0]} x {size[1]} pixels"), f"{only[0]} x {only[1]} pixels")
    count = pixels.shape[0] if pixels.ndim == 4 else pixels.shape[0] * pixels.shape[1]
    patches = reading.backbone.count_patches(*size)
    merges = resolve(settings.schedule, patches)[: reading.read_after]
    each = patches + reading.other_tokens
    mask = _places(model, kind, kwargs)
    _check(model, kind, mask, count, each)
    return mask, each, each - sum(merges)


def _places(model: Any, kind: Any, kwargs: dict[str, Any]) -> Tensor:
    token = getattr(model.config, kind.token)
    ids = kwargs.get("input_ids")
    if ids is not None:
        return ids == token
    embeds = kwargs.get("inputs_embeds")
    if embeds is None:
        raise wrong("input_ids", None, f"the prompt, with token {token} in each place of an image")
    table = model.get_input_embeddings().weight
    return (embeds == table[token].to(embeds)).all(dim=-1)


def _check(model: Any, kind: Any, mask: Tensor, count: int, each: int) -> None:
    rows = mask.sum(dim=1).tolist()
    if sum(rows) == count * each and all(row % each == 0 for row in rows):
        return
    token = getattr(model.config, kind.token)
    got = f"{rows[0]} places" if len(rows) == 1 else f"rows of {', '.join(map(str, rows))} places"
    raise wrong(
        "input_ids",
        Words(f"{got} for images (token {token})"),
        f"{each} for each of {count} images, before any merging: make the prompt by the model's own processor, whose "
        f"tokenizer must have the token {token} for images",
    )
