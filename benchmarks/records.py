"""Records: a file of JSON, one object a line, to which a run adds and with which a later run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from timm_mergemix.errors import Words, unusable, wrong
from timm_mergemix.files.lock import locked
from timm_mergemix.files.writing import append_line

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
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []
        except OSError as error:
            raise unusable(self.path, f"cannot be read: {error}") from error
        return [self._parse(line, number) for number, line in enumerate(lines, 1)]

    def add(self, record: Record) -> None:
        """Adds a record, in place of a last line that was cut off. It is on the disk when this returns.

        Raises:
            MergeMixError: If another process is adding records, or the file cannot be written.
        """
        with locked(self.path):
            self._append(record)

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

        Raises:
            MergeMixError: If another process is adding records, or the file cannot be read or written.
        """
        todo = [(_identity(values), item) for values, item in wanted]
        if self._missing(todo):
            with locked(self.path):  # from here on the file says for sure what is missing
                for record in run(self._missing(todo)):
                    self._append(record)
        found = {self._identity_of(record): record for record in self.read()}
        return [found[identity] for identity in dict.fromkeys(identity for identity, _ in todo) if identity in found]

    def _missing(self, todo: Sequence[tuple[str, T]]) -> list[T]:
        there = {self._identity_of(record) for record in self.read()}
        return list(dict.fromkeys(item for identity, item in todo if identity not in there))

    def _append(self, record: Record) -> None:
        append_line(self.path, json.dumps(record).encode())

    def _parse(self, line: bytes, number: int) -> Record:
        names = (*self.key, *self.needs)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # neither JSON nor text, or far too deep
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
