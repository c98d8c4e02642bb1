"""What comes back of a shorter prompt, made to fit the caller's own."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ...errors import wrong
from ..matching.tokens import recover

__all__ = ["columns_of", "in_full_length", "shorter_lengths", "with_prompt"]

ALONG = ("logits", "last_hidden_state")
LENGTHS = ("max_length", "min_length")


def columns_of(back: Tensor, asked: int | Tensor) -> tuple[Tensor | None, int | Tensor]:
    """Which outputs the caller gets.

    Args:
        back: (B, L) int64, for each of the caller's positions the token whose output stands for it.
        asked: The caller's ``logits_to_keep``: 0 for all positions, a number of last ones, or some of them.

    Returns:
        The tokens (B, N) whose outputs are picked afterwards, or None if the model gives just those that are asked
        for; and the ``logits_to_keep`` for the model.

    Raises:
        MergeMixError: If ``asked`` has an entry for each row.
    """
    if isinstance(asked, Tensor) and asked.ndim != 1:
        wanted = "an integer or a one-dimensional tensor, since merging shortens the prompts"
        raise wrong("logits_to_keep", asked, wanted)
    if isinstance(asked, int) and asked == 0:
        return back, 0
    columns = back[:, -asked:] if isinstance(asked, int) else back[:, asked]
    same = bool((columns == columns[:1]).all())
    return (None, columns[0]) if same else (columns, 0)


def in_full_length(out: Any, columns: Tensor | None) -> Any:
    """The output of the model, with logits and last hidden states for the caller's positions."""
    for name in ALONG:
        if columns is not None and out.get(name) is not None:
            out[name] = recover(out[name], columns)
    return out


def shorter_lengths(own: Any, config: Any, kwargs: dict[str, Any], lost: int) -> Any:
    """Makes lengths that count the caller's prompt count the shorter one.

    Args:
        own: The model's generation config.
        config: That of the call, or None.
        kwargs: The other arguments of the call, changed in place.
        lost: How many tokens shorter the prompt is.

    Returns:
        A generation config for the call, or None.
    """
    config = copy.copy(config)
    for name in LENGTHS:
        given = None if config is None else getattr(config, name, None)
        if given and name not in kwargs:
            setattr(config, name, max(given - lost, 0))
            continue
        length = kwargs.get(name, getattr(own, name, None))
        if length:
            kwargs[name] = max(length - lost, 0)
    return config


def with_prompt(out: Any, prompt: Tensor, length: int) -> Any:
    """What was generated, with the caller's prompt in place of the shorter one.

    Args:
        out: Token ids (B * n, length + new), or transformers' output that has them as ``sequences``.
        prompt: (B, L) int64, the caller's.
        length: Number of tokens of the shorter prompt.
    """
    if not isinstance(out, Tensor):
        out["sequences"] = with_prompt(out["sequences"], prompt, length)
        return out
    rows = prompt.repeat_interleave(out.shape[0] // prompt.shape[0], dim=0)
    return torch.cat([rows.to(out), out[:, length:]], dim=1)
