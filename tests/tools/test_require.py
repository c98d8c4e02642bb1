"""The checks of the programs raise their own error, so they also work under ``python -O``."""

import pytest

from tools.require import CheckError, require


def test_a_condition_that_holds_raises_nothing() -> None:
    require([1], "never said")


def test_a_condition_that_does_not_hold_raises_its_message() -> None:
    with pytest.raises(CheckError, match=r"^3 tokens, wanted 4$"):
        require(False, "3 tokens, wanted 4")
