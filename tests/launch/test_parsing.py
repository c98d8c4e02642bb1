"""One pass over the command line tells what was typed, what a YAML file gives, and what nobody gave."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from timm_mergemix.launch.parsing import MARKED, watch

from .made import in_force, make_parser, parse


def test_the_marked_flags_are_those_whose_default_is_a_value() -> None:
    assert set(MARKED) == {"mergemix", "mixup", "cutmix", "cutmix_minmax", "mixup_prob", "mixup_switch_prob"}


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        ([], set()),
        (["--mixup", "0"], {"mixup"}),
        (["--mixup-prob", "1.0"], {"mixup_prob"}),
        (["--mixup-prob=1"], {"mixup_prob"}),
        (["--mergemix", "0", "--cutmix", "1"], {"mergemix", "cutmix"}),
        (["--cutmix-minmax", "0.2", "0.8"], {"cutmix_minmax"}),
        (["--smoothing", "0.1", "--merge-r", "2"], set()),
    ],
)
def test_what_is_typed_is_given_even_where_it_is_the_default(flags: list[str], given: set[str]) -> None:
    assert parse(*flags).given == given


@pytest.mark.parametrize(
    ("keys", "given"),
    [
        ({"mixup": 0.0, "mixup_prob": 1.0, "cutmix_minmax": None, "mergemix": 0}, set()),
        ({"mixup": 0.5, "mixup_prob": 1}, {"mixup"}),
        ({"cutmix_minmax": [0.2, 0.8]}, {"cutmix_minmax"}),
        ({"mixup": "0.5"}, {"mixup"}),
        ({"mixup": 0.0, "mixup_prob": 1.0, "mergemix_recipe": None}, set()),
        ({"mixup": 0.0, "mixup_prob": 1.0, "mergemix_recipe": "scratch"}, {"mixup", "mixup_prob"}),
        ({"mergemix_recipe": "scratch"}, set()),
    ],
)
def test_a_yaml_value_is_given_if_it_is_no_default_or_stands_beside_a_recipe(keys: Any, given: set[str]) -> None:
    assert parse(**keys).given == given


def test_what_the_command_line_types_comes_before_the_file() -> None:
    parsed = parse("--mixup", "0", mixup=0.5)
    assert (parsed.args.mixup, parsed.given) == (0.0, {"mixup"})


def test_the_script_gets_plain_numbers() -> None:
    args = parse("--mixup", "0.8", "--cutmix-minmax", "0.2", "0.8", "--mergemix", "1").args
    assert all(type(value) is float for value in (args.mixup, args.mergemix, *args.cutmix_minmax))
    assert yaml.safe_load(yaml.safe_dump(vars(in_force("--mixup", "0.8", "--mergemix", "1"))))["mixup"] == 0.8


def test_defaults_are_those_before_the_file() -> None:
    parsed = parse(mixup=0.5, no_flag=1)
    assert parsed.defaults["mixup"] == 0.0
    assert parsed.yaml == {"mixup": 0.5, "no_flag": 1}
    assert parsed.args.no_flag == 1


def test_the_command_line_is_parsed_once() -> None:
    parser, calls = make_parser(), []
    own = parser.parse_args
    parser.parse_args = lambda *args, **kwargs: calls.append(args) or own(*args, **kwargs)  # type: ignore[method-assign]
    watch(parser, lambda parsed: None)
    parser.parse_args(["--mixup", "0.8"])
    assert len(calls) == 1


def test_a_number_that_is_none_is_the_parsers_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--mixup", "much")
    assert "argument --mixup: invalid float value: 'much'" in capsys.readouterr().err
