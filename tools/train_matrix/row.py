"""The result of one setting with one script."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """The result of one setting with one script.

    Attributes:
        script: Which release of timm the script is of.
        setting: Its name.
        compared: What was compared.
        status: ``pass``, ``fail``, or ``not in this script``: the script itself, without us, cannot run it.
        note: A measured figure; or the error.
        seconds: Time that it took, waiting for the runs that it shares with other settings included.
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
