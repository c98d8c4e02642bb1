"""A few made-up questions in place of easy-VQA, for all tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.vqa import trial

from ...training.vqa.made import frozen, questions

__all__ = ["few", "frozen"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Six drawings for training, of which the last two can be held out, and three for the test."""
    parts = {"train": questions(6), "test": questions(3, seed=1)}
    monkeypatch.setattr(trial, "load_questions", parts.__getitem__)
    monkeypatch.setattr(trial, "HELD_OUT", 2)
    trial.data_of.cache_clear()
    yield
    trial.data_of.cache_clear()
