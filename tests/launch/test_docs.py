"""docs/guide/train-py.md speaks of the flags that there are."""

from __future__ import annotations

import re
from pathlib import Path

from .made import make_parser

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "train-py.md").read_text()
PREFIXES = ("--merge", "--preference")


def test_every_flag_of_ours_is_there_and_no_other() -> None:
    named = {flag for flag in re.findall(r"--[a-z-]+[a-z]", PAGE) if flag.startswith(PREFIXES)}
    ours = {flag for flag in make_parser()._option_string_actions if flag.startswith(PREFIXES)}
    assert named == ours
