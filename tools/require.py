"""How the programs say that something is not as it should be."""

from __future__ import annotations


class CheckError(Exception):
    """A check that failed; the message says what was found."""


def require(condition: object, message: object) -> None:
    """Raises `CheckError` with the message unless the condition holds."""
    if not condition:
        raise CheckError(message)
