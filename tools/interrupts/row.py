"""The result of one operation on one family, and the table of all results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# How an interrupt is made.
WAYS = ("instruction", "signal")


@dataclass
class Row:
    """The result of one operation on one family.

    Attributes:
        family: Name of the family.
        operation: Name of the operation.
        way: ``instruction``, raised at an instruction, or ``signal``, sent as by Ctrl-C.
        interrupts: Number of interrupts that propagated out of the operation.
        late: Number of interrupts that came too late, or were lost because Python ignored them.
        at_once: What differed directly after the interrupt -> how often. This is not yet a fault.
        broken: What differed after the next `patch` or `unpatch` -> how often.
        torch_left: How often a setting of torch itself was not restored, such as the gradient mode of no_grad.
        refused: Why the model does not support the operation.
        failure: The error, if there is no result.
    """

    family: str
    operation: str = ""
    way: str = "instruction"
    interrupts: int = 0
    late: int = 0
    at_once: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    torch_left: int = 0
    refused: str = ""
    failure: str = ""

    def is_right(self) -> bool:
        """Whether all models ran correctly after the next `patch` or `unpatch`."""
        return not self.broken and not self.failure


HEAD = ("operation", "way", "interrupts", "too late", "differs at once", "broken", "torch's own")


def report(rows: Iterable[Row]) -> str:
    """Returns a Markdown table of operations, then the faults and failures by family."""
    rows = list(rows)
    named = {(row.operation, row.way): None for row in rows if not row.failure and not row.refused}
    lines = [_line(HEAD), _line(["---", "---", *["---:"] * (len(HEAD) - 2)])]
    for operation, way in named:
        lines.append(_line(_cells([row for row in rows if (row.operation, row.way) == (operation, way)])))
    broken = [f"- {row.operation}, {row.family}, {row.way}: {_most(row.broken)}" for row in rows if row.broken]
    refused = [f"- {row.operation}, {row.family}: {row.refused}" for row in rows if row.refused and row.way == WAYS[0]]
    failed = [f"- {row.family}: {row.failure}" for row in rows if row.failure]
    for title, found in {"broken": broken, "refused": refused, "failed": failed}.items():
        lines += ["", f"{title}:", "", *found] if found else []
    return "\n".join(lines)


def _cells(rows: list[Row]) -> list[object]:
    each = [
        (row.interrupts, row.late, sum(row.at_once.values()), sum(row.broken.values()), row.torch_left) for row in rows
    ]
    return [rows[0].operation, rows[0].way, *map(sum, zip(*each, strict=True))]


def _most(counts: dict[str, int], shown: int = 4) -> str:
    ordered = Counter(counts).most_common()
    rest = [f"{len(ordered) - shown} more"] if len(ordered) > shown else []
    return "; ".join([f"{count} x {what}" for what, count in ordered[:shown]] + rest)


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
