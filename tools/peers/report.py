"""The final report of the comparison."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .row import SIDES, Row

OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Pair:
    """The outcomes of one test on both sides."""

    unpatched: Row
    patched: Row

    @property
    def differs(self) -> bool:
        """Whether the two outcomes differ."""
        return self.unpatched.outcome != self.patched.outcome


def pairs(rows: Iterable[Row]) -> list[Pair]:
    """Returns the tests that ran on both sides with a model to patch; the last outcome of a test counts."""
    sides: dict[str, dict[tuple[str, str], Row]] = {side: {} for side in SIDES}
    for row in rows:
        sides[row.side][row.peer, row.test] = row
    both = [Pair(row, sides["patched"][key]) for key, row in sides["unpatched"].items() if key in sides["patched"]]
    return [pair for pair in both if pair.unpatched.models or pair.patched.models]


def report(found: list[Pair]) -> str:
    """Returns a table by file and test function, then the tests whose outcomes differ, grouped by message."""
    return "\n\n".join(part for part in [_table(found), _differences(found)] if part)


def _table(found: list[Pair]) -> str:
    counts: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for pair in found:
        for name in (pair.patched.function, pair.patched.file, "all"):
            key = pair.patched.peer, name
            counts[key]["unpatched"][pair.unpatched.outcome] += 1
            counts[key]["patched"][pair.patched.outcome] += 1
            counts[key]["differ"][str(pair.differs)] += 1
    lines = [
        "| peer | test | unpatched: passed / failed / skipped | patched: passed / failed / skipped | differ |",
        "|---|---|---|---|---|",
    ]
    for peer, function in sorted(counts, key=lambda key: (key[0], key[1] == "all", key[1])):
        sides = counts[peer, function]
        cells = [" / ".join(str(sides[side][outcome]) for outcome in OUTCOMES) for side in SIDES]
        lines.append(f"| {peer} | {function} | {cells[0]} | {cells[1]} | {sides['differ']['True']} |")
    return "\n".join(lines)


def _differences(found: list[Pair]) -> str:
    names = defaultdict(list)
    for pair in found:
        if pair.differs:
            said = pair.patched.message or pair.unpatched.message
            head = f"{pair.patched.peer}: {pair.unpatched.outcome} unpatched, {pair.patched.outcome} patched: {said}"
            names[head].append(pair.patched.test)
    lines = [f"- {head}\n  {len(tests)}: {', '.join(tests)}" for head, tests in names.items()]
    return "\n".join(["differ:\n", *lines]) if lines else ""
