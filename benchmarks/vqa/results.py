"""Makes tables of the records of trainings on questions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.records import Record
from timm_mergemix.cli.report import markdown_table

from .arms import CONTROL, find_arm

__all__ = ["difference", "tables"]

# Name of a measure, its title, and whether it is a share that is shown in percent.
ANSWERS = (
    ("accuracy", "accuracy", True),
    ("open_accuracy", "of open questions", True),
    ("calibration_error", "calibration error", True),
    ("brier", "Brier score", False),
    ("noise", "accuracy with noise", True),
    ("hidden", "with hidden patches", True),
)
PAIRS = (
    ("cutmix_preference_accuracy", "accuracy on CutMix pairs", True),
    ("cutmix_reward_margin", "margin", False),
    ("cutmix_correlation", "rank correlation", False),
    ("mergemix_preference_accuracy", "accuracy on MergeMix pairs", True),
    ("mergemix_reward_margin", "margin", False),
    ("mergemix_correlation", "rank correlation", False),
)
HELD_OUT = ", held-out drawings"
# Quantiles of Student's t distribution for a 95 % interval, by degrees of freedom.
QUANTILES = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Key(NamedTuple):
    """What trainings that differ only in their seed have in common.

    Attributes:
        arm: Name of the way of training.
        epochs: Number of epochs.
        setting: Setting of the preference.
        where: The data that it was measured on, if not the test questions.
    """

    arm: str
    epochs: float
    setting: str
    where: str

    @property
    def title(self) -> str:
        """Describes the key in words."""
        return find_arm(self.arm).title + (f" ({self.setting})" if self.setting else "")


def tables(records: Sequence[Record]) -> str:
    """Returns Markdown tables of mean and standard deviation over seeds, then of differences to the controls.

    Measures on the test questions come first, then those on held-out drawings.
    """
    groups: dict[Key, list[Record]] = {}
    for record in records:
        trial = record["trial"]
        where = "" if trial["test"] else HELD_OUT
        groups.setdefault(Key(trial["arm"], trial["epochs"], _setting(trial), where), []).append(record)
    parts = []
    for where in ("", HELD_OUT):
        chosen = {key: lines for key, lines in groups.items() if key.where == where}
        if chosen:
            parts += _tables(chosen)
    return "\n\n".join(filter(None, parts))


def _tables(groups: dict[Key, list[Record]]) -> list[str]:
    shortest = min(key.epochs for key in groups)
    ordered = dict(sorted(groups.items(), key=lambda group: (group[0].epochs != shortest, group[0].epochs)))
    parts = [_values(ordered, ANSWERS), _values(ordered, PAIRS)]
    for key, lines in ordered.items():
        if find_arm(key.arm).kind is None:
            # A control with fewer tokens is only compared with trainings with as few tokens.
            held = {each: found for each, found in ordered.items() if key.arm == CONTROL or _is_like(each, key)}
            parts.append(_differences(held, key, lines))
    return parts


def _is_like(key: Key, control: Key) -> bool:
    return find_arm(key.arm).keep == find_arm(control.arm).keep


def _setting(trial: Record) -> str:
    """Describes the settings of the preference; empty if it is off."""
    if find_arm(trial["arm"]).kind is None:
        return ""
    detached = ", loser detached" if trial.get("detach_loser") else ""
    return f"{trial.get('variant', 'simpo')} {trial.get('weight', 1.0):g}{detached}"


def difference(records: Sequence[Record], control: Sequence[Record], measure: str) -> tuple[float, float] | None:
    """Returns the mean difference to the control over shared seeds, and half the width of its 95 % interval.

    Returns:
        None if fewer than two seeds are shared.
    """
    base = {record["trial"]["seed"]: record["measured"][measure] for record in control}
    own = {record["trial"]["seed"]: record["measured"][measure] for record in records}
    found = [own[seed] - base[seed] for seed in own if seed in base]
    if len(found) < 2:
        return None
    half = QUANTILES[min(len(found) - 2, len(QUANTILES) - 1)] * statistics.stdev(found) / math.sqrt(len(found))
    return statistics.mean(found), half


def _values(groups: dict[Key, list[Record]], columns: Sequence[tuple[str, str, bool]]) -> str:
    where = next(iter(groups)).where
    rows = []
    for key, records in groups.items():
        cells = [_spread([record["measured"][name] for record in records], share) for name, _, share in columns]
        rows.append([key.title, f"{key.epochs:.3g}", str(len(records)), *cells])
    return markdown_table([f"training{where}", "epochs", "seeds", *(title for _, title, _ in columns)], rows)


def _differences(groups: dict[Key, list[Record]], control: Key, lines: Sequence[Record]) -> str:
    """The table of a control; empty if no training shares two seeds with it."""
    rows = []
    for key, records in groups.items():
        found = [(difference(records, lines, name), share) for name, _, share in (*ANSWERS, *PAIRS[:2])]
        cells = [_signed(*each, share=share) for each, share in found if each is not None]
        if key != control and len(cells) == len(found):
            rows.append([key.title, f"{key.epochs:.3g}", *cells])
    epochs = "1 epoch" if control.epochs == 1 else f"{control.epochs:.3g} epochs"
    over = f"over {control.title}, {epochs}{control.where}"
    titles = [title for _, title, _ in (*ANSWERS, *PAIRS[:2])]
    return markdown_table([over, "epochs", *titles], rows) if rows else ""


def _spread(values: Sequence[float], share: bool) -> str:
    factor, digits = (100, 1) if share else (1, 3)
    deviation = f" ± {factor * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * statistics.mean(values):.{digits}f}{deviation}"


def _signed(mean: float, half: float, share: bool) -> str:
    factor, digits = (100, 1) if share else (1, 3)
    text = f"{factor * mean:+.{digits}f} ± {factor * half:.{digits}f}"
    return f"**{text}**" if abs(mean) > half else text
