"""Records: a file with one JSON object per line, to which a run appends and from which a later run resumes."""

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
    """The records of a file.

    Attributes:
        path: The file; it need not exist yet.
        key: Names of the fields that identify a record: what was run, and in which circumstances.
        needs: Names of other fields that each record must have.
    """

    path: Path
    key: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def read(self) -> list[Record]:
        """Returns all records in the order of the file, without an incomplete last line.

        Raises:
            MergeMixError: If any other line is not a valid record.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []
        except OSError as error:
            raise unusable(self.path, f"cannot be read: {error}") from error
        return [self._parse(line, number) for number, line in enumerate(lines, 1)]

    def add(self, record: Record) -> None:
        """Appends a record after removing an incomplete last line, and flushes it to disk.

        Raises:
            MergeMixError: If another process is adding records, or the file cannot be written.
        """
        with locked(self.path):
            self._append(record)

    def run_missing(
        self, wanted: Iterable[tuple[Sequence[Any], T]], run: Callable[[list[T]], Iterable[Record]]
    ) -> list[Record]:
        """Runs whatever is missing in the file and appends each record as soon as it exists.

        Args:
            wanted: Values of the fields of ``key``, and the item to run for them. Running one item may yield several
                records.
            run: Runs the missing items and yields their records.

        Returns:
            The wanted records, in their order, without those that ``run`` did not yield.

        Raises:
            MergeMixError: If another process is adding records, or the file cannot be read or written.
        """
        todo = [(_identity(values), item) for values, item in wanted]
        if self._missing(todo):
            with locked(self.path):  # from here on no other process changes the file
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
        except (ValueError, RecursionError):  # not JSON, not text, or nested too deeply
            record = None
        if not isinstance(record, dict) or not record.keys() >= set(names):
            came = Words(repr(line.decode(errors="replace")[:80]))
            raise wrong(self.path, came, f"a JSON object with {', '.join(names)}", f", line {number}")
        return record

    def _identity_of(self, record: Record) -> str:
        return _identity([record[name] for name in self.key])


def _identity(values: Sequence[Any]) -> str:
    """A text that is equal for values that are equal in JSON, where tuples and lists are the same."""
    return json.dumps(list(values), sort_keys=True)
