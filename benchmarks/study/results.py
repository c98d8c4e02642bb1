"""Makes tables of the records of trials."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from timm_mergemix.cli.report import markdown_table

from ..records import Record
from .corruptions import CORRUPTIONS
from .cost import REFERENCE
from .effects import Effect, option_effects
from .grounds import SWAPPED
from .groups import Group, Options, group_records, shared_options, title_of
from .tasks import find_task
from .weather import WEATHER

__all__ = ["spread", "tables"]

# Name of a measure, its title, and whether it is a share that is shown in percent.
PLAIN = (
    ("top1", "top-1", True),
    ("ece", "calibration error", True),
    ("ece_scaled", "scaled by temperature", True),
    ("brier", "Brier score", False),
)
EFFECTS = PLAIN[:2]
INTACT = (
    ("unmerged", "intact", True),
    ("merged to half", "half of the tokens merged", True),
)
WORSE = tuple((name, name, True) for name in (*CORRUPTIONS, "random patches hidden", "salient patches hidden"))
OTHERS = tuple((name, name, True) for name in (*WEATHER, *SWAPPED))
PAIRS = (
    ("mergemix_accuracy", "accuracy on MergeMix pairs", True),
    ("mergemix_margin", "margin on MergeMix pairs", False),
    ("mergemix_correlation", "rank correlation on MergeMix pairs", False),
    ("mergemix_faint_accuracy", "accuracy on faint mixes", True),
    ("mergemix_faint_margin", "margin on faint mixes", False),
    ("cutmix_accuracy", "accuracy on CutMix pairs", True),
    ("cutmix_margin", "margin on CutMix pairs", False),
    ("cutmix_correlation", "rank correlation on CutMix pairs", False),
)


def tables(records: Sequence[Record], split: str) -> str:
    """Returns Markdown tables per task, with mean and standard deviation over seeds in one row per method."""
    groups = group_records(records, split)
    parts = []
    for task in dict.fromkeys(group[0] for group in groups):
        own = {group: lines for group, lines in groups.items() if group[0] == task}
        shared = shared_options(own)
        parts.append(f"### {find_task(task).title}")
        if shared:
            parts.append(f"All that mix: {', '.join(f'{name} {value}' for name, value in shared)}.")
        parts.append(_accuracy(own, split, shared))
        # The first records lack robustness on validation images; later ones still lack pairs or weather.
        if _measured(own, split, "noise"):
            parts.append(_robustness(own, split, shared))
        if _measured(own, split, "mergemix_accuracy"):
            parts.append(_measures(own, split, shared, PAIRS))
        if _measured(own, split, "fog"):
            parts.append(_measures(own, split, shared, [each for each in OTHERS if _measured(own, split, each[0])]))
        parts += _effects(own, split)
    return "\n\n".join(parts)


def _accuracy(groups: dict[Group, list[Record]], split: str, shared: Options) -> str:
    reference = max((lines for group, lines in groups.items() if group[1] == REFERENCE), key=len, default=[])
    columns = [column for column in PLAIN if any(column[0] in lines[0][split] for lines in groups.values())]
    (first, *titles), rows = [title for _, title, _ in columns], []
    for group, records in groups.items():
        top1, *cells = _cells(records, split, columns)
        row = [title_of(group, shared), str(len(records)), str(records[0]["epochs"]), top1]
        rows.append([*row, paired(records, reference, split), *cells])
    return markdown_table(["method", "seeds", "epochs", first, "over Mixup + CutMix, by seed", *titles], rows)


def _robustness(groups: dict[Group, list[Record]], split: str, shared: Options) -> str:
    header = ["method", "epochs", *(title for _, title, _ in INTACT + WORSE), f"mean of the last {len(WORSE)}"]
    rows = []
    for group, records in groups.items():
        means = [
            statistics.mean(record[split][name] for name, *_ in WORSE) for record in records if "noise" in record[split]
        ]
        cells = [*_cells(records, split, INTACT + WORSE), spread(means, True) if means else ""]
        rows.append([title_of(group, shared), str(records[0]["epochs"]), *cells])
    return markdown_table(header, rows)


def _measures(
    groups: dict[Group, list[Record]], split: str, shared: Options, columns: Sequence[tuple[str, str, bool]]
) -> str:
    """A table of those methods of which at least one of the columns was measured."""
    rows = []
    for group, records in groups.items():
        cells = _cells(records, split, columns)
        if any(cells):
            rows.append([title_of(group, shared), str(records[0]["epochs"]), *cells])
    return markdown_table(["method", "epochs", *(title for _, title, _ in columns)], rows)


def _measured(groups: dict[Group, list[Record]], split: str, name: str) -> bool:
    return any(name in record[split] for records in groups.values() for record in records)


def _cells(records: Sequence[Record], split: str, columns: Sequence[tuple[str, str, bool]]) -> list[str]:
    found = [
        ([record[split][name] for record in records if name in record[split]], share) for name, _, share in columns
    ]
    return [spread(values, share) if values else "" for values, share in found]


def _effects(groups: dict[Group, list[Record]], split: str) -> list[str]:
    """Tables of the effects of option values, estimated from all trials that set the same options, if possible."""
    searches: dict[tuple[str, ...], list[Record]] = {}
    for group, records in groups.items():
        searches.setdefault(tuple(name for name, _ in group[2]), []).extend(records)
    parts = []
    for names, records in searches.items():
        effects = list(zip(*(option_effects(records, split, name) for name, *_ in EFFECTS), strict=True))
        rows = [
            [f"{each[0].option} {each[0].value}", str(each[0].base), *map(_signed, each)]
            for each in effects
            if each[0].option != "seed"
        ]
        if any(each[0].option in names for each in effects):
            title = f"{len(records)} trials that set {', '.join(names)}: what each value changes, all else equal"
            header = ["value", "over", *(title for _, title, _ in EFFECTS)]
            parts.append(f"{title}\n\n{markdown_table(header, rows)}")
    return parts


def _signed(effect: Effect) -> str:
    return f"{100 * effect.gain:+.1f} ± {100 * effect.error:.1f}"


def paired(records: Sequence[Record], reference: Sequence[Record], split: str) -> str:
    """Mean and standard deviation of the difference in top-1 to the reference, over the seeds that both have."""
    base = {record["trial"]["seed"]: record[split]["top1"] for record in reference}
    seeds = {record["trial"]["seed"]: record[split]["top1"] for record in records}
    differences = [100 * (top1 - base[seed]) for seed, top1 in seeds.items() if seed in base]
    if not differences or records is reference:
        return ""
    deviation = f" ± {statistics.stdev(differences):.1f}" if len(differences) > 1 else ""
    return f"{statistics.mean(differences):+.1f}{deviation}"


def spread(values: Sequence[float], share: bool) -> str:
    """Formats the mean, and the standard deviation if there are several values."""
    scale, digits = (100, 1) if share else (1, 3)
    deviation = f" ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * statistics.mean(values):.{digits}f}{deviation}"
