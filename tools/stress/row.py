"""The result of one family, and the table of all results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Row:
    """The result of one family. Counts are per kind of call; errors are also counted per message.

    Attributes:
        family: Name of the family.
        calls: Number of calls in threads.
        wrong: Calls in threads whose result differs from the result alone.
        errors: Calls in threads that raised an error.
        evaluated: Forward passes of the training thread in which a module was in eval mode.
        task_calls: Number of calls in tasks.
        task_wrong: Calls in tasks whose result differs from the result alone.
        task_errors: Calls in tasks that raised an error.
        alone: Calls that were wrong or raised an error one by one, before any thread started.
        after: Calls that did so after all threads and tasks had ended.
        ratio: Time of the calls in threads, divided by the time of the same calls one after another.
        refused: Kinds of calls that the model does not support.
        failure: The error, if there is no result.
        seconds: Duration.
    """

    family: str
    calls: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    evaluated: int = 0
    task_calls: int = 0
    task_wrong: dict[str, int] = field(default_factory=dict)
    task_errors: dict[str, int] = field(default_factory=dict)
    alone: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    ratio: float = 0.0
    refused: list[str] = field(default_factory=list)
    failure: str = ""
    seconds: float = 0.0

    def is_right(self) -> bool:
        """Whether nothing was wrong."""
        single = self.alone, self.after, self.failure
        return not any((self.wrong, self.errors, self.evaluated, self.task_wrong, self.task_errors, *single))


THREADS, TASKS = ("calls", "wrong", "errors", "in eval"), ("task calls", "wrong", "errors")
HEAD = ("family", "alone", *THREADS, *TASKS, "after", "time ratio")


def report(rows: Iterable[Row]) -> str:
    """Returns a Markdown table, then the wrong results and errors by kind, and the refused calls."""
    rows = list(rows)
    lines = [_line(HEAD), _line(["---", *["---:"] * (len(HEAD) - 1)]), *(_line(_cells(row)) for row in rows)]
    return "\n".join([*lines, *_listed("wrong", rows), *_listed("refused", rows)])


def _cells(row: Row) -> list[object]:
    if row.failure:
        return [row.family, row.failure, *[""] * (len(HEAD) - 2)]
    threads = [row.calls, _sum(row.wrong), _sum(row.errors), row.evaluated]
    tasks = [row.task_calls, _sum(row.task_wrong), _sum(row.task_errors)]
    return [row.family, _sum(row.alone), *threads, *tasks, _sum(row.after), f"{row.ratio:.2f}"]


def _listed(title: str, rows: list[Row]) -> list[str]:
    found = {row.family: _wrong(row) if title == "wrong" else row.refused for row in rows}
    parts = [line for family, what in found.items() if what for line in (f"- {family}", *(f"  - {w}" for w in what))]
    return ["", f"{title}:", "", *parts] if parts else []


def _wrong(row: Row) -> list[str]:
    kinds = {"alone": row.alone, "threads, wrong": row.wrong, "threads, errors": row.errors}
    kinds |= {"tasks, wrong": row.task_wrong, "tasks, errors": row.task_errors, "after": row.after}
    return [f"{title}: {_most(counts)}" for title, counts in kinds.items() if counts]


def _most(counts: dict[str, int], shown: int = 6) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    rest = [f"{len(ordered) - shown} more"] if len(ordered) > shown else []
    return "; ".join([f"{count} x {what}" for what, count in ordered[:shown]] + rest)


def _sum(counts: dict[str, int]) -> int:
    return sum(counts.values())


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
