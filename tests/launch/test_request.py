"""A request does not change, and tells who reads attention and which flag asked for the mixes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from timm_mergemix.launch.request import Request

from .made import ask


def test_by_default_nothing_is_asked_for() -> None:
    request = Request(training=True)
    assert (request.merge, request.mix, request.preference, request.encoder) == (None, None, None, None)
    assert not request.reads


def test_it_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Request(training=True).training = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flags", "reads", "flag"),
    [
        (["--mergemix", "1"], True, "--mergemix"),
        (["--mergemix-recipe", "scratch"], True, "--mergemix"),
        (["--mergemix", "1", "--mergemix-prob", "0", "--mixup", "1"], False, "--mergemix"),
        (["--preference", "1", "--mixup", "1"], False, "--preference"),
        (["--mixer", "resizemix"], False, "--mixer"),
    ],
)
def test_who_reads_attention_and_which_flag_asked(flags: list[str], reads: bool, flag: str) -> None:
    request = ask(*flags)
    assert (request.reads, request.mixing_flag) == (reads, flag)
