"""Every form of ``r`` -> how many tokens merge in each block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

from ..errors import Words, check_int, check_number, named, wrong

__all__ = [
    "TEXTS",
    "R",
    "Schedule",
    "as_typed",
    "check_r",
    "clipped_blocks",
    "merges_any",
    "parse",
    "read_r",
    "resolve",
    "typed_r",
]

R: TypeAlias = int | Sequence[int] | tuple[str, float] | str

TEXTS = "13, decreasing:13, total:98, keep:0.5 or 1,2,3 (an integer for each block)"
FORMS = (
    "an int per block, ('decreasing', int), a list with an int for each block, "
    "('total', int), ('keep', ratio in (0, 1]), or the text of one, such as 'keep:0.5'"
)


@dataclass(frozen=True)
class Schedule:
    """A checked form of ``r``.

    Attributes:
        form: ``"constant"``, ``"decreasing"``, ``"list"``, ``"total"`` or ``"keep"``.
        value: The number or numbers that belong to the form.
        depth: Number of blocks that may merge.
        idle: Number of blocks after them that merge nothing.
    """

    form: str
    value: float | tuple[int, ...]
    depth: int
    idle: int = 0

    @property
    def merges_any(self) -> bool:
        """Whether it merges anything, in a model that has tokens enough."""
        return _merges_any(self.form, self.value)

    @property
    def r(self) -> R:
        """The schedule as a user would write it."""
        if self.form == "constant":
            return self.value  # type: ignore[return-value]
        return list(self.value) if isinstance(self.value, tuple) else (self.form, self.value)


def read_r(text: str) -> R:
    """``r`` as it is written on command lines and in YAML files, as Python has it.

    Raises:
        MergeMixError: If it has none of the known forms.
    """
    form, colon, value = text.partition(":")
    try:
        if colon:
            return (form, float(value) if form == "keep" else int(value))
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise wrong("r", text, TEXTS) from None


def as_typed(r: R) -> str:
    """``r`` as text that command lines and Python take alike: ``13``, ``decreasing:13``, ``1,2,3``."""
    if isinstance(r, (str, int, Integral)):
        return str(r)
    return (":" if r and isinstance(r[0], str) else ",").join(map(str, r))


def typed_r(text: str) -> str:
    """The text itself, which YAML and JSON know, once it is clear that `read_r` can read it."""
    check_r("r", text)
    return text


def check_r(argument: str, r: Any) -> None:
    """Raises unless ``r`` has one of the known forms; whether a model can meet it is another question."""
    with named(r=argument):
        _read(r)


def merges_any(r: Any) -> bool:
    """Whether a valid ``r`` merges anything, in a model that has tokens enough."""
    return _merges_any(*_read(r))


def _merges_any(form: str, value: float | tuple[int, ...]) -> bool:
    if isinstance(value, tuple):
        return any(value)
    return value < 1 if form == "keep" else value > 0


def parse(r: Any, depth: int, idle: int = 0) -> Schedule:
    """Checks the form of ``r`` for a model of ``depth`` blocks, and ``idle`` ones after them that merge nothing.

    Raises:
        MergeMixError: If ``r`` has none of the known forms.
    """
    form, value = _read(r)
    if isinstance(value, tuple) and len(value) != depth:
        raise wrong("r", r, f"a list of {depth} integers, one for each block")
    return Schedule(form, value, depth, idle)


def _read(r: Any) -> tuple[str, float | tuple[int, ...]]:
    """The form of ``r``, and the number or numbers that belong to it."""
    was_text = isinstance(r, str)
    if isinstance(r, str):
        r = read_r(r)
    if isinstance(r, Integral):
        check_int("r", r, 0)
        return "constant", int(r)
    if isinstance(r, (tuple, list)) and len(r) == 2 and isinstance(r[0], str):
        return _read_named(r, f"={r[0]}:..." if was_text else f"=({r[0]!r}, ...)")
    if not isinstance(r, (tuple, list)) or any(isinstance(value, str) for value in r):
        raise wrong("r", r, FORMS)
    for i, value in enumerate(r):
        check_int("r", value, 0, part=f"[{i}]")
    return "list", tuple(map(int, r))


def _read_named(r: Sequence[Any], part: str) -> tuple[str, float]:
    form, value = r
    if form in ("decreasing", "total"):
        check_int("r", value, 0, part=part)
    elif form == "keep":
        check_number("r", value, 0.0, 1.0, part=part)
        if value == 0:
            raise wrong("r", value, "a ratio in (0, 1]", part=part)
    else:
        raise wrong("r", tuple(r), FORMS)
    return form, float(value) if form == "keep" else int(value)


def resolve(schedule: Schedule, patches: int) -> tuple[int, ...]:
    """The number of merges in each block, for a sequence of ``patches`` unprotected tokens.

    In a block at most half of the unprotected tokens can merge. A constant or decreasing ``r`` is clipped to that; the
    other forms must be met exactly.

    Args:
        schedule: The checked schedule.
        patches: Unprotected tokens that enter the first block. Where the image size of an export is left open, it is
            a symbol, and the result holds for every number of patches of which no block has to merge more than half.

    Raises:
        MergeMixError: If a list, total or keep ratio cannot be met; the message says what can. If ``patches`` is a
            symbol and its example is too small.
    """
    merges, least = _unlimited(schedule, patches)
    idle = (0,) * schedule.idle
    if patches >= least:
        return merges + idle
    if not isinstance(patches, int):  # a symbol; is_symbol would need torch, for which the command line cannot wait
        raise wrong(
            "r",
            Words(f"{schedule.r!r} and an image size that is left open, with an example too small for it"),
            "an example image of which no block has to merge more than half of the patches, or a fixed image size",
        )
    return _limited(schedule, patches) + idle


def clipped_blocks(schedule: Schedule, patches: int) -> int:
    """The number of blocks that merge fewer tokens than a constant or decreasing ``r`` asks for."""
    wanted, least = _unlimited(schedule, patches)
    if patches >= least or schedule.form not in ("constant", "decreasing"):
        return 0
    return sum(merged < asked for merged, asked in zip(_limited(schedule, patches), wanted, strict=True))


def _unlimited(schedule: Schedule, patches: int) -> tuple[tuple[int, ...], int]:
    """The merges if any number of tokens could merge, and the least number of patches for which they are possible.

    These are closed forms without a branch, so that ``patches`` can be a symbol.
    """
    depth, value = schedule.depth, schedule.value
    if isinstance(value, tuple):
        return value, _least(value)
    if schedule.form == "decreasing":
        merges = _decreasing(int(value), depth)
        return merges, _least(merges)
    if schedule.form == "constant":
        merges = (int(value),) * depth
    else:
        total = int(value) if schedule.form == "total" else patches - _left(float(value), patches)
        merges = tuple((total + depth - 1 - i) // depth for i in range(depth))
    return merges, (depth + 1) * merges[0]


def _least(merges: tuple[int, ...]) -> int:
    """The least number of patches of which no block merges more than half."""
    least = before = 0
    for r in merges:
        least = max(least, before + 2 * r)
        before += r
    return least


def _decreasing(r: int, depth: int) -> tuple[int, ...]:
    return tuple(2 * r * (depth - 1 - i) // (depth - 1) for i in range(depth)) if depth > 1 else (r,)


def _left(ratio: float, patches: int) -> int:
    return math.floor(ratio * patches + 0.5)


def _limited(schedule: Schedule, patches: int) -> tuple[int, ...]:
    depth, value = schedule.depth, schedule.value
    if isinstance(value, tuple):
        return _exact(value, patches)
    if schedule.form == "total":
        return _spread(int(value), patches, depth)
    if schedule.form == "keep":
        return _keep(float(value), patches, depth)
    r = int(value)
    return _clip((r,) * depth if schedule.form == "constant" else _decreasing(r, depth), patches)


def _keep(ratio: float, patches: int, depth: int) -> tuple[int, ...]:
    left = max(1, _left(ratio, patches))
    least = patches - sum(_clip([patches] * depth, patches))
    if left < least:
        raise wrong(
            "r",
            Words(f"a keep ratio of {ratio}, {left} of {patches} patch tokens"),
            f"a ratio that leaves at least {least} of them after {depth} blocks",
        )
    return _spread(patches - left, patches, depth)


def _clip(wanted: Sequence[int], patches: int) -> tuple[int, ...]:
    merges = []
    for r in wanted:
        merges.append(min(r, patches // 2))
        patches -= merges[-1]
    return tuple(merges)


def _exact(wanted: tuple[int, ...], patches: int) -> tuple[int, ...]:
    clipped = _clip(wanted, patches)
    for i, (r, most) in enumerate(zip(wanted, clipped, strict=True)):
        if r > most:
            left = patches - sum(clipped[:i])
            raise wrong("r", r, f"at most {most}, half of the {left} patch tokens that reach block {i}", f"[{i}]")
    return wanted


def _spread(total: int, patches: int, depth: int) -> tuple[int, ...]:
    """As evenly as halving allows: the lowest level that reaches the total, less its surplus in the last blocks."""
    for level in range(patches // 2 + 1):
        merges = list(_clip([level] * depth, patches))
        surplus = sum(merges) - total
        if surplus >= 0:
            break
    else:
        most = sum(_clip([patches] * depth, patches))
        raise wrong(
            "r", Words(f"a total of {total} merges"), f"at most {most} for {patches} patch tokens in {depth} blocks"
        )
    for i in reversed(range(depth)):
        if surplus and merges[i] == level:
            merges[i] -= 1
            surplus -= 1
    return tuple(merges)
