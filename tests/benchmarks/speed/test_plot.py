"""The picture has a panel for each group of results and for the growth at each number of tokens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.speed.plot import plot

from .made import POINTS, RESULTS


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig

    def watched(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", watched)
    return figures


def labels(axis: Any) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in axis.get_yticklabels()]


def test_a_panel_for_each_group_and_one_for_each_number_of_tokens(tmp_path: Path, drawn: list[Figure]) -> None:
    with Image.open(plot(RESULTS, POINTS, tmp_path / "all.png")) as picture:
        assert picture.width > 1000
    *ratios, small, large = drawn[0].axes
    titles = [axis.get_title("left").replace("\n", " ") for axis in ratios]
    assert [re.split(" (?:red|orange):", title)[0] for title in titles] == [
        "time, merged over the ideal",
        "time, merged over unpatched",
        "time, a training step, or only mixing, over that with timm's Mixup",
        "time, a training step with the preference over one without",
    ]
    assert labels(ratios[0]) == ["inference, deit_tiny, batch 32, r=13"]
    assert "the patch of Bolya et al." in ratios[0].get_title("left").replace("\n", " ")
    assert "red" not in ratios[1].get_title("left")
    assert [axis.get_title("left") for axis in (small, large)] == ["inference, 197 tokens", "inference, 577 tokens"]
    assert {line.get_label() for line in small.lines} == {"merged", "ideal", "unpatched"}


def test_groups_without_results_are_not_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    for results, points, axes in ((RESULTS, [], 4), ([], POINTS, 2), ([], [], 0)):
        assert plot(results, points, tmp_path / "some.png").is_file()
        assert len(drawn[-1].axes) == axes
