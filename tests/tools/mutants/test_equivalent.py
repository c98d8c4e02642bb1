"""Each fault that is said to change nothing is one that the sources can still have, and says why."""

from __future__ import annotations

from tools.mutants.__main__ import PACKAGE
from tools.mutants.equivalent import EQUIVALENT
from tools.mutants.faults import faults_in


def test_each_is_a_fault_of_its_source() -> None:
    for (source, fault), reason in EQUIVALENT.items():
        assert fault in map(str, faults_in((PACKAGE / source).read_text(encoding="utf-8"))), f"{source}: {fault}"
        assert reason.endswith(".")
