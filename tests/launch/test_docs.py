"""docs/guide/train-py.md has a row for each flag of ours and for no other, with its choices and its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from timm_mergemix.config import shown
from timm_mergemix.launch.flags import CONFIGS, FLAGS

from .made import make_parser
from .scripts.stand_in import make_parsers

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "train-py.md").read_text()
OURS = make_parser()._option_string_actions.keys() - make_parsers()[1]._option_string_actions.keys()
FLAG = re.compile("--[a-z-]+[a-z]")
# The cells of each row: flags, what they do, default.
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `--")]
# What is off by default has another one in its config, which is that of what is on.
DEFAULTS = {
    FLAGS[each.name]: shown(each.default) for config in CONFIGS for each in fields(config) if each.name in FLAGS
}
DEFAULTS |= {"--mergemix": "0", "--preference": "0", "--ratio-mode": "area; attention to fine-tune"}


def row_of(flag: str) -> list[str]:
    return next(row for row in ROWS if flag in FLAG.findall(row[0]))


def test_every_flag_of_ours_has_one_row_and_there_is_no_other() -> None:
    assert sorted(flag for row in ROWS for flag in FLAG.findall(row[0])) == sorted(OURS)


def test_the_page_names_no_flag_that_there_is_not() -> None:
    named = {
        flag for flag in FLAG.findall(PAGE) if flag.startswith(("--merge", "--mixer", "--saliency", "--preference"))
    }
    assert named <= OURS


@pytest.mark.parametrize("flag", sorted(flag for flag in OURS if flag in DEFAULTS))
def test_a_row_has_the_default(flag: str) -> None:
    assert row_of(flag)[2] == str(DEFAULTS[flag])


@pytest.mark.parametrize("flag", sorted(OURS))
def test_a_row_has_all_choices(flag: str) -> None:
    choices = make_parser()._option_string_actions[flag].choices or ()
    assert all(f"`{choice}`" in row_of(flag)[1] for choice in choices)
