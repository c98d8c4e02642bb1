from __future__ import annotations

import logging
import re

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.launch.check import check, has_timm_mixup, is_primary, merges, mixes, prefers, warn

from .made import make_parser, parse


@pytest.mark.parametrize(
    ("flags", "merge", "mix", "preference", "mixup"),
    [
        ([], False, False, False, False),
        (["--merge-r", "0", "--mergemix", "0"], False, False, False, False),
        (["--merge-r", "0,0,0"], False, False, False, False),
        (["--merge-r", "2"], True, False, False, False),
        (["--merge-r", "keep:0.5"], True, False, False, False),
        (["--merge-r", "0,1,0"], True, False, False, False),
        (["--mergemix", "1"], False, True, False, False),
        (["--preference", "1", "--mixup", "0.8"], False, True, True, True),
        (["--preference", "1", "--mixer", "resizemix"], False, True, True, False),
        (["--cutmix-minmax", "0.2", "0.8"], False, False, False, True),
    ],
)
def test_what_is_asked_for(flags: list[str], merge: bool, mix: bool, preference: bool, mixup: bool) -> None:
    args = parse(*flags)
    check(args, training=True)
    assert (merges(args), mixes(args), prefers(args), has_timm_mixup(args)) == (merge, mix, preference, mixup)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--torchscript", "--merge-r", "2"], "--torchscript: a scripted model cannot merge"),
        (["--torchscript", "--mergemix", "1"], "--torchscript: a scripted model cannot merge"),
        (["--mergemix", "-1"], "--mergemix: got -1.0"),
        (["--mergemix", "nan"], "--mergemix: got nan"),
        (["--preference", "-1", "--mixup", "1"], "--preference: got -1.0"),
        (["--preference-gamma", "-1"], "--preference-gamma: got -1.0"),
        (["--preference-beta", "0"], "--preference-beta: got 0.0"),
        (["--mergemix-prob", "1.5"], "--mergemix-prob: got 1.5"),
        (["--mergemix-encoder-checkpoint", __file__], "--mergemix-encoder-checkpoint: got .*wanted --mergemix-encoder"),
        (["--mergemix-encoder-checkpoint", "no/such/file"], "--mergemix-encoder-checkpoint: got .*the path of a file"),
        (["--preference", "1"], "--preference: got 1.0, wanted --mergemix, --mixup, --cutmix or --mixer"),
        (["--mixer", "resizemx"], "--mixer: got 'resizemx', wanted one of 'cutmix', 'mixup', 'resizemix'"),
        (["--mixer", "mergemix"], "--mixer: got 'mergemix', wanted one of"),
        (["--mixer", "resizemix", "--mergemix", "1"], "--mixer: got 'resizemix', wanted none of --mergemix"),
        (["--mixer", "resizemix", "--cutmix", "1"], "--mixer: got 'resizemix', wanted none of --mergemix"),
        (["--mixer", "resizemix", "--mixup-prob", "0"], "--mixup-prob: got 0.0, wanted a number > 0"),
        (["--mergemix", "1", "--naflex-loader"], "--naflex-loader: its batches are sequences"),
        (["--mergemix", "1", "--jsd-loss"], "--jsd-loss: it compares"),
        (["--mergemix", "1", "--aug-splits", "3"], "--aug-splits: got 3, wanted 0"),
    ],
)
def test_what_cannot_work_is_refused(flags: list[str], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        check(parse(*flags), training=True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("merge_eval", "no", "--merge-eval: got 'no', wanted true or false"),
        ("merge_prop_attn", 1, "--merge-prop-attn: got 1, wanted true or false"),
        ("merge_r", 2.5, "--merge-r: got 2.5, wanted 13, decreasing:13"),
        ("merge_r", True, "--merge-r: got True, wanted 13"),
        ("mergemix_r", [1, "x"], "--mergemix-r: got .1, 'x'., wanted 13"),
        ("merge_matching", "nearest", "--merge-matching: got 'nearest'"),
        ("mergemix_ratio_mode", "patches", "--mergemix-ratio-mode: got 'patches'"),
        ("mergemix_select", "all", "--mergemix-select: got 'all'"),
        ("mergemix_scale", 0.01, "--mergemix-scale: got 0.01, wanted a finite number from 0.1 to 1"),
        ("preference_variant", "dpo", "--preference-variant: got 'dpo'"),
        ("mergemix", None, "--mergemix: got None"),
        ("mergemix_encoder", 5, "--mergemix-encoder: got 5, wanted the name"),
        ("preference", "much", "invalid float value"),
    ],
)
def test_yaml_values_are_checked(key: str, value: object, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = make_parser()
    parser.set_defaults(**{key: value})
    with pytest.raises((MergeMixError, SystemExit)) as refused:
        check(parser.parse_args([]), training=True)
    assert re.search(message, str(refused.value) + capsys.readouterr().err)


@pytest.mark.parametrize("flags", [["--torchscript"], ["--jsd-loss", "--aug-splits", "3", "--merge-r", "2"]])
def test_what_is_none_of_our_business_is_not(flags: list[str]) -> None:
    check(parse(*flags), training=True)


def warnings_of(flags: list[str], caplog: pytest.LogCaptureFixture, **yaml: object) -> str:
    parser = make_parser()
    defaults = {action.dest: action.default for action in parser._actions}
    parser.set_defaults(**yaml)
    with caplog.at_level(logging.WARNING):
        warn(parser.parse_args(flags), defaults)
    return caplog.text


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("mergemix_alpha", ""),
        ("merge_ratio", ""),
        ("preference_betta", "did you mean preference_beta?"),
        ("mergmix_prob", "did you mean mergemix_prob?"),
        ("prefrence", "did you mean preference?"),
    ],
)
def test_yaml_keys_that_are_none_of_ours(key: str, hint: str, caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of([], caplog, **{key: 1})
    assert f"{key}: no flag has this name" in text
    assert hint in text


def test_flags_without_effect(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["--mergemix-r", "3", "--merge-matching", "kth"], caplog, preference_beta=2.0)
    assert "--mergemix-r: no effect without --mergemix" in text
    assert "--preference-beta: no effect without --preference" in text
    assert "--merge-matching: no effect without --merge-r" in text


def test_a_mixer_by_name_takes_an_encoder_and_no_settings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--mixer", "resizemix", "--mergemix-encoder", "x", "--mergemix-select", "both"]
    assert "--mergemix-encoder, --mergemix-select: no effect without --mergemix" in warnings_of(flags, caplog)
    caplog.clear()
    monkeypatch.setattr("timm_mergemix.launch.check.takes_encoder", lambda name: True)
    assert "--mergemix-select: no effect without --mergemix" in (text := warnings_of(flags, caplog))
    assert "encoder" not in text


@pytest.mark.parametrize("flags", [[], ["--mergemix", "1", "--mergemix-r", "3"], ["--merge-r", "2"]])
def test_there_is_no_warning_without_reason(flags: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(flags, caplog, lr=1.0, merge_r=3, mixing=1, preset=2) == ""


def test_the_first_process_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    args = parse()
    assert is_primary(args)
    args.rank = 1
    assert not is_primary(args)
    del args.rank
    assert is_primary(args)  # a script that runs in one process
    monkeypatch.setenv("RANK", "1")  # or has not looked yet
    assert not is_primary(args)
