from __future__ import annotations

import argparse

import pytest

from timm_mergemix.launch.flags import add_merge_flags, add_mix_flags


def parser_of(training: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_merge_flags(parser, training)
    if training:
        add_mix_flags(parser)
    return parser


def test_by_default_nothing_is_on() -> None:
    args = parser_of(True).parse_args([])
    assert (args.merge_r, args.mergemix, args.preference) == (None, 0.0, 0.0)
    assert (args.merge_eval, args.merge_prop_attn, args.merge_matching) == (True, True, "bipartite")
    assert (args.mergemix_prob, args.mergemix_r, args.mergemix_layer) == (None, None, None)


def test_a_script_that_does_not_train_gets_merging_alone() -> None:
    assert set(vars(parser_of(False).parse_args([]))) == {"merge_r", "merge_prop_attn", "merge_matching"}


def test_the_groups_stand_in_the_help() -> None:
    text = parser_of(True).format_help()
    for group in ("Token merging", "MergeMix", "Preference"):
        assert f"{group} parameters (timm_mergemix):" in text


@pytest.mark.parametrize(
    "flags", [["--mergemix-layer", "last"], ["--merge-r", "half"], ["--mergemix-r", "keep:"], ["--merge-matching", "x"]]
)
def test_what_is_mistyped_is_an_error_of_the_parser(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser_of(True).parse_args(flags)
    assert flags[0] in capsys.readouterr().err
