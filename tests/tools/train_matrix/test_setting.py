"""A setting has a unique name and says what it compares."""

from __future__ import annotations

import pytest

from tools.require import CheckError
from tools.train_matrix import setting as settings
from tools.train_matrix.bench import Bench
from tools.train_matrix.setting import SETTINGS, Setting, setting
from tools.train_matrix.settings import SETTINGS as ENTERED  # imported before the fixture empties the table


@pytest.fixture(autouse=True)
def none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empties the table for each test."""
    monkeypatch.setattr(settings, "SETTINGS", {})


def trains(bench: Bench) -> None:
    """Trains, with a loss
    that is finite.
    """


def test_the_docstring_says_what_is_compared() -> None:
    assert setting("--a")(trains) is trains
    entered = settings.SETTINGS["--a"]
    assert entered == Setting("--a", "Trains, with a loss that is finite", trains)


def test_a_name_can_be_used_only_once() -> None:
    setting("--a")(trains)
    with pytest.raises(CheckError, match="--a exists already"):
        setting("--a")(trains)


def test_a_setting_without_a_docstring_is_refused() -> None:
    with pytest.raises(CheckError, match="--a does not say what is compared"):
        setting("--a")(lambda bench: None)


def test_the_table_of_the_matrix_is_not_empty() -> None:
    assert ENTERED is SETTINGS and len(SETTINGS) > 60
