"""The flags that a script gets: derived from the configs, off by default, never in place of the script's own."""

from __future__ import annotations

import argparse

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.launch.flags import CONFIGS, FLAGS, SCRIPT_FIELDS, add_merge_flags, add_mix_flags

from .made import make_parser

OFF_THE_LAUNCHER = {"saliency"}  # of the preference: a script runs winner and loser in one batch


def parser_of(training: bool, *own: str, **options: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(**options)
    for flag in own:
        parser.add_argument(flag)
    add_merge_flags(parser, training)
    if training:
        add_mix_flags(parser)
    return parser


def test_by_default_nothing_is_on() -> None:
    args = vars(parser_of(True).parse_args([]))
    assert (args.pop("mergemix"), args.pop("preference")) == (0.0, 0.0)
    assert set(args.values()) == {None}


def test_every_field_that_has_a_flag_has_it_here() -> None:
    added = set(parser_of(True)._option_string_actions)
    wanted = {flag for name, flag in FLAGS.items() if name not in {*SCRIPT_FIELDS, *OFF_THE_LAUNCHER}}
    assert wanted <= added
    rest = added - wanted - {"-h", "--help"}
    assert all(flag.startswith("--no-") and flag.replace("--no-", "--") in wanted for flag in rest)


def test_no_two_fields_share_a_name_or_a_flag() -> None:
    names = [name for config in CONFIGS for name in config.options()]
    assert len(names) == len(set(names))
    assert len(FLAGS) == len(set(FLAGS.values()))


def test_the_flags_of_the_scripts_own_fields_are_flags_of_the_script() -> None:
    assert {FLAGS[name] for name in SCRIPT_FIELDS} <= set(make_parser()._option_string_actions)


def test_a_script_that_does_not_train_gets_merging_alone() -> None:
    assert set(vars(parser_of(False).parse_args([]))) == {"merge_r", "merge_prop_attn", "merge_matching"}


def test_the_groups_and_the_defaults_stand_in_the_help() -> None:
    text = " ".join(parser_of(True).format_help().split())
    for group in ("Token merging", "MergeMix", "Preference"):
        assert f"{group} parameters (timm_mergemix):" in text
    for words in ("0 is off (default: 0)", "(default: keep:0.5)", "that of the finetune recipe with --pretrained"):
        assert words in text


@pytest.mark.parametrize(
    "flags", [["--layer", "last"], ["--merge-r", "half"], ["--saliency-r", "keep:"], ["--merge-matching", "x"]]
)
def test_what_is_mistyped_is_an_error_of_the_parser(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser_of(True).parse_args(flags)
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize("conflicts", ["error", "resolve"])
@pytest.mark.parametrize("flag", ["--select", "--merge-r", "--preference", "--divide"])
def test_a_flag_of_the_scripts_own_is_not_taken_from_it(flag: str, conflicts: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{flag}.*: the script has a flag of this name"):
        parser_of(True, flag, conflict_handler=conflicts)
