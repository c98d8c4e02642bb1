"""Reads the values of options that a user types after ``--set``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm_mergemix.errors import wrong

__all__ = ["parse_options"]

WORDS = {"true": True, "false": False, "none": None}


def parse_options(given: Sequence[str]) -> dict[str, list[Any]]:
    """Reads ``["lr=1e-3", "prob=0.5", "prob=1"]`` to values of each name: numbers, booleans or text.

    Raises:
        MergeMixError: If a setting has no name or no value, or would set the seed.
    """
    values: dict[str, list[Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise wrong("set", text, "NAME=VALUE")
        if name == "seed":
            raise wrong("set", text, "--seeds instead")
        values.setdefault(name, []).append(_literal(value))
    return values


def _literal(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
