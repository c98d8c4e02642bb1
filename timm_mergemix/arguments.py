"""What users type on command lines and in YAML files -> values of this library."""

from __future__ import annotations

import argparse
from typing import Any

from .errors import unusable
from .merge.schedule import R

__all__ = ["R_FORMS", "parse_layer", "parse_r", "plain_r", "read_r"]

R_FORMS = "13, decreasing:13, total:98, keep:0.5 or 1,2,3 (an integer for each block)"


def parse_layer(text: str) -> int | str:
    """The block whose attention is read: its index, or ``"pool"``; a ``type`` for argparse.

    Raises:
        ArgumentTypeError: If it is neither.
    """
    if text == "pool":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted the index of a block or 'pool'") from error


def parse_r(text: str) -> R:
    """What a user wrote for r, as `patch` takes it; a ``type`` for argparse.

    Raises:
        ArgumentTypeError: If it has none of the known forms.
    """
    form, colon, value = text.partition(":")
    try:
        if colon:
            return (form, float(value) if form == "keep" else int(value))
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted {R_FORMS}") from error


def plain_r(text: str) -> int | list[int] | str:
    """A ``type`` for argparse that checks r, and keeps it as something that YAML and JSON know.

    Raises:
        ArgumentTypeError: If it has none of the known forms.
    """
    r = parse_r(text)
    return text if isinstance(r, tuple) else r  # type: ignore[return-value]


def read_r(value: Any) -> Any:
    """What `plain_r` kept, or a YAML file holds, as `patch` takes it; anything else as it is.

    Raises:
        MergeMixError: If it is text of none of the known forms.
    """
    try:
        return parse_r(value) if isinstance(value, str) else value
    except argparse.ArgumentTypeError as error:
        raise unusable("r", error) from error
