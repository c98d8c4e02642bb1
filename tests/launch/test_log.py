"""The start of a run says what mixes, what a recipe set, and that there is a preference; one process says it."""

from __future__ import annotations

import logging

import pytest

from timm_mergemix.launch.log import say_mixing
from timm_mergemix.launch.mixing import build_mixer

from .made import ask, running, tiny


def said(flags: str, caplog: pytest.LogCaptureFixture, **yaml: object) -> str:
    request, model = ask(*flags.split(), **yaml), tiny()
    run = running(request, model)
    run.mixer = build_mixer(request, model, None) if request.mix is not None else None
    with caplog.at_level(logging.INFO):
        say_mixing(run)
    return caplog.text


def test_the_mixer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    text = said("--mergemix 1", caplog)
    assert "Batches are mixed on the device by MergeMix(mergemix: 0.5, prob=1.0" in text
    assert "Recipe" not in text and "Preference" not in text


def test_nothing_is_said_where_nothing_is_mixed(caplog: pytest.LogCaptureFixture) -> None:
    assert said("--mixup 0.8", caplog) == ""


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--mergemix-recipe scratch", "Recipe scratch sets --mergemix 1, --mixup 0.8, --mixup-prob 0.5\n"),
        ("--mergemix-recipe scratch --mixup 0", "Recipe scratch sets --mergemix 1, --mixup-prob 0.5\n"),
        ("--mergemix-recipe scratch --mergemix 1 --mixup 0 --mixup-prob 1", "Recipe scratch sets nothing, since"),
    ],
)
def test_a_recipe_says_what_it_sets(flags: str, line: str, caplog: pytest.LogCaptureFixture) -> None:
    assert line in said(flags, caplog)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--mergemix-recipe scratch --preference 1", "weight 1; pairs in 50% of the batches"),
        ("--mergemix 1 --preference 0.5", "weight 0.5; pairs in 50% of the batches"),
        ("--mergemix 1 --mergemix-prob 1 --preference 1", "pairs in 100% of the batches"),
        ("--mixer resizemix --mixup-prob 0.3 --preference 1", "pairs in 30% of the batches"),
        ("--mixup 1 --mixup-mode elem --mixup-prob 0.25 --preference 1", "pairs in 25% of the images"),
    ],
)
def test_the_preference_says_how_many_batches_have_a_pair(
    flags: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = said(flags, caplog)
    assert "Preference of clean images over their mixes" in text
    assert line in text
    assert "halve the logged images per second to count images once" in text


def test_batches_without_a_pair_are_said(caplog: pytest.LogCaptureFixture) -> None:
    none = "; the other 50% are not mixed and have no pair\n"
    assert none in said("--mergemix-recipe scratch --preference 1", caplog)
    caplog.clear()
    assert "no pair" not in said("--mergemix 1 --mergemix-prob 1 --preference 1", caplog)


def test_one_process_speaks(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert said("--mergemix 1 --preference 1", caplog) == ""
