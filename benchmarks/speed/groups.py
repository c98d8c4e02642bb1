"""Groups of results that are read together, because they compare the same steps."""

from __future__ import annotations

from typing import NamedTuple

from .measure import Result
from .mixing import MERGEMIX, TIMM_MIXUP, UNPATCHED_MIXUP
from .preference import SEPARATE, WINNER

__all__ = ["GROUPS", "Group", "label_of"]

# The size of most models here; labels name only other sizes.
USUAL = ("_patch16_224", ", 224 px")


class Group(NamedTuple):
    """A group of results that are read together.

    Attributes:
        name: Short name of the group.
        title: Description of the ratios.
        pairs: The names of the two steps of each ratio.
    """

    name: str
    title: str
    pairs: tuple[tuple[str, str], ...]

    def of(self, results: list[Result]) -> list[Result]:
        """Returns the results that belong to the group, in their order."""
        return [result for result in results if (result.above, result.below) in self.pairs]


GROUPS = (
    Group("merged over ideal", "merged over the ideal", (("merged", "ideal"),)),
    Group("merged over unpatched", "merged over unpatched", (("merged", "unpatched"),)),
    Group("published over ideal", "the patch of Bolya et al. over the ideal", (("published", "ideal"),)),
    Group(
        "mixing",
        "a training step, or only mixing, over that with timm's Mixup",
        ((MERGEMIX, UNPATCHED_MIXUP), (MERGEMIX, TIMM_MIXUP)),
    ),
    Group(
        "preference",
        "a training step with the preference over one without",
        ((WINNER, MERGEMIX), (SEPARATE, MERGEMIX)),
    ),
)


def label_of(result: Result) -> str:
    """A short label for the row of a result, with the step if the row has several in the group."""
    label = result.row
    for part in USUAL:
        label = label.replace(part, "")
    return f"{label}: {result.above}" if result.above in (WINNER, SEPARATE) else label
