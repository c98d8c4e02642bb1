"""Flags without effect and misspelt YAML keys are warned of, and nothing else is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from timm_mergemix.launch.reading import read_request
from timm_mergemix.launch.unused import warn_of_idle, warn_of_unknown

from .made import in_force, parse


def warnings_of(flags: list[str], caplog: pytest.LogCaptureFixture, **yaml: object) -> str:
    parsed = parse(*flags, **yaml)
    request = read_request(parsed, training=True)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_unknown(parsed)
        warn_of_idle(parsed, request)
    return caplog.text


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("mergemix_alpha", ""),
        ("merge_ratio", ""),
        ("saliency_rr", "did you mean saliency_r?"),
        ("preference_betta", "did you mean preference_beta?"),
        ("preference_saliency", ""),
        ("mergmix_prob", "did you mean mergemix_prob?"),
        ("prefrence", "did you mean preference?"),
    ],
)
def test_yaml_keys_that_are_none_of_ours(key: str, hint: str, caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of([], caplog, **{key: 1})
    assert f"{key}: no flag has this name" in text
    assert hint in text
    assert "no effect" not in text


def test_flags_without_effect(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["--saliency-r", "3", "--merge-matching", "kth"], caplog, preference_beta=2.0)
    assert "--saliency-r: no effect without --mergemix" in text
    assert "--preference-beta: no effect without --preference" in text
    assert "--merge-matching: no effect without --merge-r" in text


def test_a_mixer_by_name_takes_an_encoder_and_no_settings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--mixer", "resizemix", "--mergemix-encoder", "x", "--select", "both", "--no-correct-lam"]
    wanted = "--mergemix-encoder, --no-correct-lam, --select: no effect without --mergemix"
    assert wanted in warnings_of(flags, caplog)
    monkeypatch.setattr("timm_mergemix.launch.request.takes_encoder", lambda name: True)
    assert "--no-correct-lam, --select: no effect without --mergemix" in (text := warnings_of(flags, caplog))
    assert "encoder" not in text


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--mergemix", "1", "--saliency-r", "3"],
        ["--merge-r", "2", "--no-merge-eval"],
        ["--preference", "1", "--cutmix", "1", "--no-correct-lam"],
        ["--mixup", "0.3"],
    ],
)
def test_there_is_no_warning_without_reason(flags: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(flags, caplog, lr=1.0, merge_r=3, mixing=1, preset=2) == ""


def test_the_settings_of_an_earlier_run_may_be_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    flags = ["--mergemix", "1", "--merge-r", "2", "--preference", "1"]
    before: dict[str, Any] = vars(in_force(*flags))
    assert warnings_of(["--mergemix", "0", "--merge-r", "0", "--preference", "0"], caplog, **before) == ""


def test_a_switch_that_is_off_is_named_as_it_was_typed(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["--no-merge-eval", "--no-merge-prop-attn", "--no-divide"], caplog)
    assert "--no-merge-eval, --no-merge-prop-attn: no effect without --merge-r" in text
    assert "--no-divide: no effect without --mergemix" in text
