"""The result of one setting with one script."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """The result of one setting with one script.

    Attributes:
        script: Release of timm that the script belongs to.
        setting: Name of the setting.
        compared: What was compared.
        status: ``pass``, ``fail``, or ``not in this script``: the script cannot run it, even without the launcher.
        note: A measured value, or the error.
        seconds: Duration, including the wait for runs that other settings share.
    """

    script: str
    setting: str
    compared: str = ""
    status: str = "pass"
    note: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return f"{self.script:12} {self.status:18} {self.seconds:5.0f} s  {self.setting}: {self.compared}{note}"
