"""The ways of training (arms) that are compared."""

from __future__ import annotations

from timm_mergemix.errors import check_choice
from timm_mergemix.training.vqa.arms import Arm

__all__ = ["ARMS", "CONTROL", "LONGER", "find_arm"]

CONTROL = "sft"  # fine-tuning alone, over which the published gain is half a point
KINDS = {None: "fine-tuning alone", "mergemix": "MergeMix", "cutmix": "CutMix", "random": "random patches"}
ARMS = {
    arm.name: arm
    for keep, suffix, said in ((1.0, "", ""), (0.5, "-half", ", half the tokens"))
    for kind, title in KINDS.items()
    for arm in [Arm(f"{kind or CONTROL}{suffix}", f"{title}{said}", kind, keep)]
}
# For comparisons at equal time, these arms train for as long as the first one takes.
LONGER = ("mergemix", (CONTROL, f"{CONTROL}-half", "mergemix-half"))


def find_arm(name: str) -> Arm:
    """Returns an arm by name.

    Raises:
        MergeMixError: If there is no such arm.
    """
    check_choice("arms", name, tuple(ARMS))
    return ARMS[name]
