"""Records: a file of JSON, one object a line, to which a run adds and with which a later run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from timm_mergemix.errors import Words, wrong

__all__ = ["Record", "Records"]

Record = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Records:
    """The records in a file.

    Attributes:
        path: The file; it need not be there yet.
        key: Names of the fields by which records are told apart: what was run, and in which circumstances.
        needs: Names of other fields that each record has.
    """

    path: Path
    key: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def read(self) -> list[Record]:
        """All records, in the order of the file. A last line that was cut off is left out.

        Raises:
            MergeMixError: If another line is not one of these records.
        """
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []
        return [self._parse(line, number) for number, line in enumerate(lines, 1)]

    def add(self, record: Record) -> None:
        """Adds a record, in place of a last line that was cut off. It is written out when this returns."""
        line = json.dumps(record).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(line)

    def run_missing(
        self, wanted: Iterable[tuple[Sequence[Any], T]], run: Callable[[list[T]], Iterable[Record]]
    ) -> list[Record]:
        """Runs what the file does not have yet, and adds each record as it comes.

        Args:
            wanted: Values of the fields of ``key``, and what is to be run for them. What is run once can give several
                records.
            run: Runs what is missing and yields its records.

        Returns:
            The records of what is wanted, in its order, without those that ``run`` did not yield.
        """
        todo = [(_identity(values), item) for values, item in wanted]
        there = {self._identity_of(record) for record in self.read()}
        left = list(dict.fromkeys(item for identity, item in todo if identity not in there))
        if left:
            for record in run(left):
                self.add(record)
        found = {self._identity_of(record): record for record in self.read()}
        return [found[identity] for identity in dict.fromkeys(identity for identity, _ in todo) if identity in found]

    def _parse(self, line: bytes, number: int) -> Record:
        names = (*self.key, *self.needs)
        try:
            record = json.loads(line)
        except ValueError:  # neither JSON nor text
            record = None
        if not isinstance(record, dict) or not record.keys() >= set(names):
            came = Words(repr(line.decode(errors="replace")[:80]))
            raise wrong(self.path, came, f"a JSON object with {', '.join(names)}", f", line {number}")
        return record

    def _identity_of(self, record: Record) -> str:
        return _identity([record[name] for name in self.key])


def _identity(values: Sequence[Any]) -> str:
    """The same text for what is the same in JSON, where tuples and lists are one."""
    return json.dumps(list(values), sort_keys=True)
