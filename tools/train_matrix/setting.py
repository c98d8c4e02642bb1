"""The settings of the matrix, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from ..require import require
from .bench import Bench

Check = Callable[[Bench], "str | None"]


@dataclass(frozen=True)
class Setting:
    """A setting of the matrix.

    Attributes:
        name: Its name in the table.
        compared: What is compared, in few words.
        check: Runs the comparison; raises `CheckError` or returns a measured value.
    """

    name: str
    compared: str
    check: Check


SETTINGS: dict[str, Setting] = {}


def setting(name: str) -> Callable[[Check], Check]:
    """Registers a check as a setting; its docstring says what is compared."""

    def enter(check: Check) -> Check:
        require(name not in SETTINGS, f"{name} exists already")
        compared = " ".join((inspect.getdoc(check) or "").split()).rstrip(".")
        require(compared, f"{name} does not say what is compared")
        SETTINGS[name] = Setting(name, compared, check)
        return check

    return enter
