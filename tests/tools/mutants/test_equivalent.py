"""Each fault that is listed as equivalent still exists in its source and has a reason."""

from __future__ import annotations

from tools.mutants.__main__ import PACKAGE
from tools.mutants.equivalent import EQUIVALENT
from tools.mutants.faults import faults_in


def test_each_listed_fault_is_a_fault_of_its_source() -> None:
    for (source, fault), reason in EQUIVALENT.items():
        assert fault in map(str, faults_in((PACKAGE / source).read_text(encoding="utf-8"))), f"{source}: {fault}"
        assert reason.endswith(".")
