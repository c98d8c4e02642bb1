"""Records of trials as tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ..report import markdown_table
from .cost import REFERENCE
from .effects import Effect, option_effects
from .methods import METHODS, find_method
from .tasks import find_task

__all__ = ["Group", "Options", "group_records", "spread", "tables", "title_of"]

Record = dict[str, Any]
Options = tuple[tuple[str, Any], ...]
Group = tuple[str, str, Options, str]

# Name of a measure, title, and whether it is a share that is shown in per cent.
PLAIN = (
    ("top1", "top-1", True),
    ("ece", "calibration error", True),
    ("brier", "Brier score", False),
)
EFFECTS = PLAIN[:2]
SCALED = (
    ("ece_scaled", "calibration error, scaled", True),
    ("temperature", "temperature", False),
)
ROBUST = (
    ("noise", "noise", True),
    ("blur", "blur", True),
    ("contrast", "contrast", True),
    ("random patches hidden", "random patches hidden", True),
    ("salient patches hidden", "salient patches hidden", True),
    ("unmerged", "unmerged", True),
    ("merged to half", "merged to half", True),
)


def group_records(records: Sequence[Record], split: str) -> dict[Group, list[Record]]:
    """Records that differ in nothing but their seed, by task, method, options and circumstances; in order of METHODS.

    Args:
        records: Of a sweep.
        split: ``"val"``, the trials that did not read the test images, or ``"test"``, those that did.
    """
    groups: dict[Group, list[Record]] = {}
    for record in records:
        trial = record["trial"]
        if trial["test"] == (split == "test"):
            options = tuple((name, value) for name, value in trial["options"])
            group = (trial["task"], trial["method"], options, record["circumstances"])
            groups.setdefault(group, []).append(record)
    order = {name: number for number, name in enumerate(METHODS)}
    return dict(sorted(groups.items(), key=lambda item: order.get(item[0][1], len(order))))


def tables(records: Sequence[Record], split: str) -> str:
    """Markdown: for each task mean and standard deviation over seeds, a row for each method."""
    groups = group_records(records, split)
    parts = []
    for task in dict.fromkeys(group[0] for group in groups):
        own = {group: lines for group, lines in groups.items() if group[0] == task}
        columns = PLAIN + SCALED if split == "test" else PLAIN
        parts.append(f"### {find_task(task).title}\n\n{_table(own, split, columns)}")
        if any("noise" in record[split] for lines in own.values() for record in lines):
            parts.append(_table(own, split, ROBUST))
        parts += _effects(own, split)
    return "\n\n".join(parts)


def _table(groups: dict[Group, list[Record]], split: str, columns: Sequence[tuple[str, str, bool]]) -> str:
    header = ["method", "seeds", "epochs", *(title for _, title, _ in columns), "top-1 over Mixup + CutMix"]
    reference = max((lines for group, lines in groups.items() if group[1] == REFERENCE), key=len, default=[])
    rows = []
    for group, records in groups.items():
        # Robustness on validation images came later than the first records.
        found = [
            ([record[split][name] for record in records if name in record[split]], share) for name, _, share in columns
        ]
        cells = [spread(values, share) if values else "" for values, share in found]
        row = [title_of(group), str(len(records)), str(records[0]["epochs"]), *cells]
        rows.append([*row, paired(records, reference, split)])
    return markdown_table(header, rows)


def _effects(groups: dict[Group, list[Record]], split: str) -> list[str]:
    """What values of options change, from all trials that set the same options, where they can tell."""
    searches: dict[tuple[str, ...], list[Record]] = {}
    for group, records in groups.items():
        searches.setdefault(tuple(name for name, _ in group[2]), []).extend(records)
    parts = []
    for names, records in searches.items():
        effects = zip(*(option_effects(records, split, name) for name, *_ in EFFECTS), strict=True)
        rows = [
            [f"{each[0].option} {each[0].value}", str(each[0].base), *map(_signed, each)]
            for each in effects
            if each[0].option != "seed"
        ]
        if names and rows:
            title = f"{len(records)} trials that set {', '.join(names)}: what each value changes, all else equal"
            header = ["value", "over", *(title for _, title, _ in EFFECTS)]
            parts.append(f"{title}\n\n{markdown_table(header, rows)}")
    return parts


def _signed(effect: Effect) -> str:
    return f"{100 * effect.gain:+.1f} ± {100 * effect.error:.1f}"


def paired(records: Sequence[Record], reference: Sequence[Record], split: str) -> str:
    """Mean difference in top-1 to the reference over the seeds that both have, and its standard error."""
    base = {record["trial"]["seed"]: record[split]["top1"] for record in reference}
    seeds = {record["trial"]["seed"]: record[split]["top1"] for record in records}
    differences = [100 * (top1 - base[seed]) for seed, top1 in seeds.items() if seed in base]
    if not differences:
        return ""
    error = f" ± {statistics.stdev(differences) / len(differences) ** 0.5:.1f}" if len(differences) > 1 else ""
    return f"{statistics.mean(differences):+.1f}{error}"


def title_of(group: Group, without: Options = ()) -> str:
    """Method and options in words, but for some of them."""
    _, method, options, _ = group
    said = ", ".join(f"{name} {value}" for name, value in options if name != "epochs" and (name, value) not in without)
    return find_method(method).title + (f" ({said})" if said else "")


def spread(values: Sequence[float], share: bool) -> str:
    """Mean, and standard deviation where there are several."""
    scale, digits = (100, 1) if share else (1, 3)
    deviation = f" ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * statistics.mean(values):.{digits}f}{deviation}"
