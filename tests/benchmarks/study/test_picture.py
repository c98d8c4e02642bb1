"""The picture shows every seed of every method."""

import pytest

from benchmarks.study.picture import draw

from .test_results import RECORDS, record


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_picture_shows_each_seed(split: str) -> None:
    figure = draw(RECORDS, split)
    left = figure.axes[0]
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert sorted(value for line in dots for value in line.get_xdata()) == ([70, 80, 90] if split == "val" else [60])


def test_shared_options_are_shown_once() -> None:
    half = [("prob", 0.5)]
    records = [record("none", 0, 0.7), record("timm", 0, 0.8, options=half), record("mergemix", 0, 0.9, options=half)]
    records.append(record("mergemix", 0, 0.9, options=[*half, ("mode", "elem")]))
    figure = draw(records, "val")
    left = figure.axes[0]
    assert figure.subfigs[0].get_suptitle().endswith("\nprob 0.5; 5 epochs; dots: seeds, bar: mean")
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == ["MergeMix alone (mode elem)", "MergeMix alone", "Mixup + CutMix", "no mixing"]
    records[0]["epochs"] = 7
    labels = [label.get_text() for label in draw(records, "val").axes[0].get_yticklabels()]
    assert labels[1:] == ["MergeMix alone", "Mixup + CutMix", "no mixing, 7 epochs"]
