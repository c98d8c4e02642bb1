"""Settings are described in words, with r as it is typed."""

from __future__ import annotations

from benchmarks.speed.row import describe, r_in_words
from benchmarks.speed.steps import Setting


def test_a_setting_is_described_in_words() -> None:
    setting = Setting("test_vit", 2, 3, size=64)
    assert describe(setting) == "test_vit, batch 2, r=3, 64 px"
    assert describe(setting._replace(autocast=True)) == "test_vit, batch 2, r=3, 64 px, bf16 autocast"
    assert describe(setting._replace(compiled=True)).endswith("px, compiled")


def test_r_is_written_as_it_is_typed() -> None:
    assert [r_in_words(r) for r in (13, ("keep", 0.5), [1, 0, 2])] == ["13", "keep:0.5", "[1, 0, 2]"]
