"""The error that the programs raise when a check fails."""

from __future__ import annotations


class CheckError(Exception):
    """A check has failed; the message says what was found."""


def require(condition: object, message: object) -> None:
    """Raises `CheckError` with the message unless the condition holds."""
    if not condition:
        raise CheckError(message)
