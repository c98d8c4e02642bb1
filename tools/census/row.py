"""The result of one name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Row:
    """The result of one name.

    Attributes:
        name: The timm model.
        cls: Its class.
        status: ``right``, ``refused``, ``failed``, or ``not plain``.
        reason: Why it was refused.
        failures: For each failed check its case and name, and the message.
        notes: What is right, but not in the strictest sense.
        seconds: Time that it took.
    """

    name: str
    cls: str = ""
    status: str = "right"
    reason: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @contextmanager
    def check(self, title: str) -> Iterator[None]:
        """Any error inside is a failure of the check."""
        try:
            yield
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            self.failures[title] = f"{type(error).__name__}: {lines[0]}"
