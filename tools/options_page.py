"""Writes docs/reference/options.md from the configs and the signatures: ``python -m tools.options_page``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import timm_mergemix as mm
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.config import Config, flag_names, shown
from timm_mergemix.merge.config import MergeConfig
from timm_mergemix.mix.config import RECIPES, MixConfig
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.vlm.config import ImageMixConfig

__all__ = ["PAGE", "options_page"]

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "options.md"
INTRO = """# Options

Every option has one name, one meaning and one check, wherever it is set: as an argument in Python, or as a flag of
[`timm-mergemix train`](../guide/command-line.md) and of [timm's train.py](../guide/train-py.md), whose page lists the
flags that only it has. Options that timm's scripts have keep timm's flags. This page is generated from the code by
`make options`.
"""
CONCERNS: dict[str, tuple[str, type[Config]]] = {
    "Token merging": ("Arguments of [`patch`](merging.md) and `merging`.", MergeConfig),
    "Mixing": (
        "Arguments of [`MergeMix`](mixing.md); `Mixup` and `ResizeMix` take those that concern them.",
        MixConfig,
    ),
    "Saliency": (
        "Arguments of [`MergeMix`](mixing.md) and `transforms.MergeMix`; in `saliency_map` the first two are `r` and "
        "`scale`.",
        SaliencyConfig,
    ),
    "Preference": (
        "Arguments of [`PreferenceLoss`](preference.md); `saliency` is an argument of `PreferenceStep`. On a command "
        "line, the preference is off unless its weight is given, and `dpo` is not available. timm's train.py has no "
        "`--preference-saliency`.",
        PreferenceConfig,
    ),
    "Questions about images": (
        "Arguments of [`vlm.ImageMixer`](vlm.md), which also takes the options of saliency. They have no flags. The "
        "options of the preference are also arguments of `vlm.SequencePreferenceLoss`.",
        ImageMixConfig,
    ),
}
DIFFERING = """## Defaults that differ

Entry points that are modelled on another library's keep that library's defaults:
"""
FACES: dict[str, tuple[Callable[..., Any], str]] = {
    "Mixup": (mm.Mixup, "as `timm.data.Mixup`"),
    "transforms.MergeMix": (mm.transforms.MergeMix, "as `v2.MixUp` and `v2.CutMix`, which smooth no labels"),
}
RENAMED = """
`transforms.MergeMix` is MergeMix alone, as `v2.CutMix` is CutMix alone: its `alpha` is `mergemix_alpha`. In timm's
scripts `--mixup` and `--cutmix` are 0 unless given. `saliency_map` merges as the model does unless `r` is given.
"""
RECIPE = """## Recipes

`MergeMix.recipe(name)` and `--mergemix-recipe` override these defaults:
"""


def options_page() -> str:
    """Returns the whole page, which depends on the code alone."""
    parts = [INTRO]
    for title, (about, config) in CONCERNS.items():
        parts.append(f"## {title}\n\n{about}\n\n{_options(config)}\n")
    rows = [row for name, (face, why) in FACES.items() for row in _differences(name, face, why)]
    parts += [
        DIFFERING,
        markdown_table(("entry point", "option", "default there", "elsewhere", "why"), rows),
        RENAMED,
        RECIPE,
    ]
    recipes = [
        [f"`{name}`", f"`{option}`", _code(value)] for name, own in RECIPES.items() for option, value in own.items()
    ]
    parts += [markdown_table(("recipe", "option", "value"), recipes), ""]
    return "\n".join(parts).replace("---:", "---")


def _options(config: type[Config]) -> str:
    flags, rows = flag_names(config), []
    for each in fields(config):
        option = config.options()[each.name]
        choices = f" ({', '.join(map(_code, option.choices))})" if option.choices else ""
        flag = f"`{flags[each.name]}`" if each.name in flags else ""
        rows.append([f"`{each.name}`", _code(each.default), flag, option.help + choices])
    return markdown_table(("option", "default", "flag", "what it does"), rows)


def _differences(name: str, face: Callable[..., Any], why: str) -> list[list[str]]:
    found = inspect.signature(face).parameters
    usual = {each.name: each.default for config in (MixConfig, SaliencyConfig) for each in fields(config)}
    return [
        [f"`{name}`", f"`{option}`", _code(found[option].default), _code(default), why]
        for option, default in usual.items()
        if option in found and found[option].default != default
    ]


def _code(value: Any) -> str:
    return f"`{value!r}`" if not isinstance(value, float) else f"`{shown(value)}`"


if __name__ == "__main__":
    PAGE.write_text(options_page(), encoding="utf-8")
