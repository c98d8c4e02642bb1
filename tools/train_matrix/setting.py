"""The settings of the matrix, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bench import Bench

Check = Callable[[Bench], "str | None"]


@dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        name: What it is called in the table.
        compared: What is compared, in a few words.
        check: Compares; raises AssertionError, or returns a measured figure.
    """

    name: str
    compared: str
    check: Check


SETTINGS: dict[str, Setting] = {}


def setting(name: str, compared: str) -> Callable[[Check], Check]:
    """Enters a check as a setting."""

    def enter(check: Check) -> Check:
        assert name not in SETTINGS, f"{name} is there already"
        SETTINGS[name] = Setting(name, compared, check)
        return check

    return enter
