"""Configs check their values, make flags and read them back; signatures repeat their fields and defaults."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.config import Config, add_flags, flag_names, given_flags, integer, number, option
from timm_mergemix.merge.config import MergeConfig
from timm_mergemix.merge.patch import merging, patch
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.vlm.config import ImageMixConfig

CONFIGS = (MergeConfig, MixConfig, SaliencyConfig, PreferenceConfig, ImageMixConfig)


@dataclass(frozen=True)
class Soup(Config):
    """A made-up config for these tests."""

    salt: float = option(0.5, "grams at 100 % of the heat", number(0, 1), read=float)
    hot: bool = option(True, "keep it hot", read=bool)
    kind: str = option("pea", "what is in it", choices=("pea", "leek", "secret"), typed=("pea", "leek"), flag="--soup")
    spoon: int | None = option(1, "size", integer(1), optional=True, flag="")
    cook: Any = option(None, "who makes it", flag="")


def parse(words: str, **options: Any) -> Any:
    parser = ArgumentParser()
    add_flags(parser, Soup, **options)
    return parser.parse_args(words.split())


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Soup().salt = 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"salt": 2.0}, "salt: got 2.0, wanted a finite number from 0 to 1"),
        ({"salt": "much"}, "salt: got 'much', wanted a finite number from 0 to 1"),
        ({"hot": "no"}, "hot: got 'no', wanted True or False"),
        ({"hot": 1}, "hot: got 1, wanted True or False"),
        ({"kind": "fish"}, "kind: got 'fish', wanted one of 'pea', 'leek', 'secret'"),
    ],
)
def test_each_field_checks_its_value(values: dict[str, Any], message: str) -> None:
    for make in (lambda: Soup(**values), lambda: Soup.check(values), lambda: Soup.of(values)):
        with pytest.raises(MergeMixError) as raised:
            make()
        assert str(raised.value) == message and raised.value.argument == next(iter(values))


def test_none_is_accepted_for_an_optional_field() -> None:
    assert Soup(spoon=None).spoon is None
    with pytest.raises(MergeMixError, match="spoon: got 0, wanted an integer >= 1"):
        Soup(spoon=0)


def test_the_upper_limit_of_a_number_may_be_left_out() -> None:
    number(0)("salt", 0)
    with pytest.raises(MergeMixError, match="salt: got -1, wanted a finite number >= 0"):
        number(0)("salt", -1)


def test_of_ignores_values_that_belong_to_no_field() -> None:
    assert Soup.of({"salt": 1.0, "fork": 3}) == Soup(salt=1.0)
    Soup.check({"fork": "a value of something else"})


def test_flags_are_named_after_their_fields_by_default() -> None:
    assert flag_names(Soup) == {"salt": "--salt", "hot": "--hot", "kind": "--soup"}


def test_given_flags_returns_only_what_was_typed() -> None:
    assert given_flags(parse(""), Soup) == {}
    assert given_flags(parse("--salt 0.25 --no-hot --soup leek"), Soup) == {"salt": 0.25, "hot": False, "kind": "leek"}
    assert given_flags(parse("--salt 0"), Soup) == {"salt": 0.0}


def test_without_leaves_out_flags() -> None:
    args = parse("", without=("salt",))
    assert not hasattr(args, "salt") and given_flags(args, Soup) == {}


@pytest.mark.parametrize("words", ["--salt much", "--soup secret", "--soup fish", "--cook me"])
def test_argparse_reports_values_that_cannot_be_read(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert words.split()[0] in capsys.readouterr().err


def test_help_shows_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    for options, shown in (({}, "(default: 0.5)"), ({"unset": "the cook's"}, "(default: the cook's)")):
        with pytest.raises(SystemExit):
            parse("--help", **options)
        text = " ".join(capsys.readouterr().out.split())
        assert f"grams at 100 % of the heat {shown}" in text


@pytest.mark.parametrize("config", CONFIGS)
def test_every_option_has_a_valid_default_and_a_help_text(config: type[Config]) -> None:
    config()
    for each in config.options().values():
        assert each.help and not each.help.endswith(".")


def test_no_two_options_share_a_flag() -> None:
    flags = [flag for config in CONFIGS for flag in flag_names(config).values()]
    assert len(flags) == len(set(flags))


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


# Defaults that differ because a face follows the convention of timm or torchvision (docs/reference/options.md).
OTHERWISE = {
    "transforms.MergeMix": {"label_smoothing": 0.0},  # torchvision's v2.MixUp and v2.CutMix have no label smoothing
    "Mixup": {"mixup_alpha": 1.0, "cutmix_alpha": 0.0},  # timm.data.Mixup
    "patch": {"r": inspect.Parameter.empty},
}
# For each face: its function, the configs whose fields it takes, and the fields that it leaves out.
FACES: dict[str, tuple[Callable[..., Any], dict[type[Config], set[str]]]] = {
    "MergeMix": (mm.MergeMix, {MixConfig: set(), SaliencyConfig: set()}),
    "transforms.MergeMix": (
        mm.transforms.MergeMix,
        {
            MixConfig: {
                # called alpha there, as in v2.CutMix; MergeMix is the only way of mixing there
                *("mergemix_alpha", "mergemix_prob", "mixup_alpha", "cutmix_alpha", "cutmix_minmax"),
                *("switch_prob", "correct_lam"),
            },
            SaliencyConfig: set(),
        },
    ),
    "Mixup": (mm.Mixup, {MixConfig: {"mergemix_alpha", "mergemix_prob", "ratio_mode", "select"}}),
    "PreferenceLoss": (mm.PreferenceLoss, {PreferenceConfig: {"saliency"}}),
    "vlm.ImageMixer": (mm.vlm.ImageMixer, {ImageMixConfig: set(), SaliencyConfig: set()}),
    "vlm.SequencePreferenceLoss": (mm.vlm.SequencePreferenceLoss, {PreferenceConfig: {"saliency"}}),
    "patch": (patch, {MergeConfig: set()}),
}


@pytest.mark.parametrize("name", FACES)
def test_signatures_have_the_fields_and_defaults_of_the_configs(name: str) -> None:
    """A new field must be written into each signature, with the config's default."""
    function, configs = FACES[name]
    found = defaults_of(function)
    for config, left_out in configs.items():
        wanted = {each.name: each.default for each in fields(config) if each.name not in left_out}
        wanted |= {option: value for option, value in OTHERWISE.get(name, {}).items() if option in wanted}
        assert {option: found.get(option, "missing") for option in wanted} == wanted
        assert not left_out & set(found)


def test_functions_that_take_some_fields_of_a_config_have_its_defaults() -> None:
    shared = set(defaults_of(Mixer)) & set(MixConfig.options())
    assert shared == {"prob", "mode", "label_smoothing", "multi_label"} == set(MixConfig().shared())
    for function in (Mixer, mm.ResizeMix):
        assert {name: defaults_of(function)[name] for name in shared} == MixConfig().shared()
    assert defaults_of(mm.PreferenceStep)["saliency"] == PreferenceConfig().saliency
    blocks = {"blocks", "prefix_tokens", "suffix_tokens"}
    assert set(defaults_of(merging)) == {"model", *MergeConfig.options(), *blocks}
