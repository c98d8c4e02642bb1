"""The launcher's flags that the settings use. If a flag changes its name or meaning, change it here."""

from __future__ import annotations

from collections.abc import Iterable

MERGE = "--merge-r"
MERGED = f"{MERGE} 2"
VALIDATED_MERGED, VALIDATED_UNMERGED = "--merge-eval", "--no-merge-eval"
MERGE_OPTIONS = ("--no-merge-prop-attn", "--merge-matching random", "--merge-matching pitome")

MIXING, LAYER = "--mergemix", "--layer"
MIXED = f"{MIXING} 1.0"
MIX = f"{MIXED} {MERGED}"
NOTHING = f"{MIXING} 0 {MERGE} 0"
SHARE = "--mergemix-prob"
NEVER = f"{SHARE} 1e-9"  # no mixed batch is a MergeMix batch
MIX_OPTIONS = (
    "--ratio-mode attention",
    "--ratio-mode gaussian",
    "--select both",
    f"{LAYER} 0",
    "--saliency-r 1",
    "--no-divide",
    f"{SHARE} 1.0",
)
RECIPE = "--mergemix-recipe scratch"
RECIPE_SPELT = f"{MIXED} {SHARE} 0.5 --mixup 0.8 --mixup-prob 0.5"
BY_NAME = "--mixer resizemix"
ENCODER, ENCODER_WEIGHTS = "--mergemix-encoder", "--mergemix-encoder-checkpoint"

PREFERENCE = "--preference"
PREFERRED = f"{PREFERENCE} 0.5"
PAIRS = f"{MIX} {PREFERRED}"
PREFERENCE_OPTIONS = ("--preference-beta 2", "--preference-gamma 0.5", "--preference-variant hinge")

# The same options as keys of a YAML file and as flags.
CONFIG = {"mergemix": 1.0, "merge_r": "decreasing:2", "merge_eval": False, "preference": 0.5, "saliency_r": "1,1,1"}
CONFIG_FLAGS = f"{MIXED} {MERGE} decreasing:2 {VALIDATED_UNMERGED} {PREFERRED} --saliency-r 1,1,1"
UNKNOWN_KEY = "mergemix_probability"


def names(options: Iterable[str]) -> str:
    """Returns the flags in some options without their values, each once."""
    return ", ".join(dict.fromkeys(option.split()[0] for option in options))
