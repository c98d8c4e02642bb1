"""The outcome of one test on one side."""

from __future__ import annotations

from dataclasses import dataclass

SIDES = ("unpatched", "patched")


@dataclass(frozen=True)
class Row:
    """The outcome of one test on one side.

    Attributes:
        peer: The package whose test it is.
        side: ``unpatched`` or ``patched``.
        test: The test, as pytest writes it: ``test_models.py::test_model_forward[1-vit_tiny_patch16_224]``.
        outcome: ``passed``, ``failed`` or ``skipped``.
        models: Number of models that it built and that can be patched.
        message: Why it failed or was skipped.
        seconds: Duration.
    """

    peer: str
    side: str
    test: str
    outcome: str
    models: int
    message: str = ""
    seconds: float = 0.0

    @property
    def function(self) -> str:
        """File and function of the test, without parameters."""
        return self.test.split("[")[0]

    @property
    def file(self) -> str:
        """Name of the file of the test."""
        return self.test.split("::")[0]
