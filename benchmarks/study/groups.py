"""Groups of records that differ only in their seed, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..records import Record
from .arms import ARMS, find_arm

__all__ = ["Group", "Options", "group_records", "shared_options", "title_of"]

Options = tuple[tuple[str, Any], ...]
# A group is identified by task, method, options and circumstances.
Group = tuple[str, str, Options, str]


def group_records(records: Sequence[Record], split: str) -> dict[Group, list[Record]]:
    """Groups records that differ only in their seed, by task, method, options and circumstances.

    Groups are in the order of ARMS; those with their own number of epochs, for equal time, come last.

    Args:
        records: The records of a sweep.
        split: ``"val"`` for trials that did not read the test images, ``"test"`` for trials that did.
    """
    groups: dict[Group, list[Record]] = {}
    for record in records:
        trial = record["trial"]
        if trial["test"] == (split == "test"):
            options = tuple((name, value) for name, value in trial["options"])
            group = (trial["task"], trial["method"], options, record["circumstances"])
            groups.setdefault(group, []).append(record)
    order = {name: number for number, name in enumerate(ARMS)}
    return dict(
        sorted(groups.items(), key=lambda item: ("epochs" in dict(item[0][2]), order.get(item[0][1], len(order))))
    )


def shared_options(groups: Iterable[Group]) -> Options:
    """Returns the options that all mixing methods share."""
    given = [options for _, method, options, _ in groups if find_arm(method).mixer is not None]
    return tuple(each for each in given[0] if all(each in options for options in given)) if given else ()


def title_of(group: Group, without: Options = ()) -> str:
    """Describes a method and its options in words, without the options that are left out."""
    _, method, options, _ = group
    said = ", ".join(f"{name} {value}" for name, value in options if name != "epochs" and (name, value) not in without)
    return find_arm(method).title + (f" ({said})" if said else "")
