"""The settings of one run of pytest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """The settings of one run of pytest.

    Attributes:
        peer: The package whose tests run.
        side: ``unpatched`` or ``patched``.
        names: The chosen timm models, in the order in which they run.
        patterns: Patterns for test names, with or without file and parameters; a test must match one of them.
        done: Tests whose outcome is already known.
        out: The file to which outcomes are appended.
    """

    peer: str
    side: str
    names: list[str]
    patterns: list[str]
    done: list[str]
    out: str

    def write(self, path: Path) -> None:
        """Writes the plan to a file for the plugin."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Reads a plan from a file."""
        return cls(**json.loads(path.read_text()))
