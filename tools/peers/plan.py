"""What a run of pytest is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """What a run of pytest is told.

    Attributes:
        peer: The package whose tests run.
        side: ``unpatched`` or ``patched``.
        names: The timm models that were chosen, in the order in which they run.
        patterns: For the names of tests, with their file and parameters or without; a test must fit one.
        done: Tests whose outcome is known.
        out: The file that outcomes are added to.
    """

    peer: str
    side: str
    names: list[str]
    patterns: list[str]
    done: list[str]
    out: str

    def write(self, path: Path) -> None:
        """Writes it for the plugin."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Reads what was written."""
        return cls(**json.loads(path.read_text()))
