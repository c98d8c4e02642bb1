"""The result for one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Row:
    """The result for one model.

    Attributes:
        name: Name of the model in timm.
        cls: Name of its class.
        status: ``right``, ``refused``, ``failed``, or ``not plain``.
        reason: Why it was refused.
        failures: The message of each failed check, by case and name of the check.
        notes: Results that are right, but not exact.
        seconds: Duration.
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
        """Counts any error inside as a failure of the check."""
        try:
            yield
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            self.failures[title] = f"{type(error).__name__}: {lines[0]}"
