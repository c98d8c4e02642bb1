"""Steps with the preference train like the library, with the source of saliency in their name."""

from __future__ import annotations

import pytest

from benchmarks.speed import preference
from benchmarks.speed.mixing import MERGEMIX
from benchmarks.speed.preference import SEPARATE, WINNER, preference_step
from benchmarks.speed.steps import Setting
from timm_mergemix import PreferenceStep, merge_info

SMALL = Setting("test_vit", 2, 3, size=64)


def test_both_sources_of_saliency_are_compared_with_no_preference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[PreferenceStep] = []

    class Watched(PreferenceStep):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(preference, "PreferenceStep", Watched)
    row = preference_step(SMALL)
    assert list(row.make()) == [MERGEMIX, WINNER, SEPARATE]
    assert [(step.saliency, step.loss.weight) for step in made] == [("separate", 0), ("winner", 1), ("separate", 1)]
    assert all(merge_info(step.model).r == 3 and step.model.training for step in made)
    assert [comparison[:2] for comparison in row.comparisons] == [(WINNER, MERGEMIX), (SEPARATE, MERGEMIX)]
