"""Pictures of answers show the images, the questions and the probabilities that they were given."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.colors
import numpy as np
import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.viz import AnswerRow, answer_grid, answers_by_ratio

from .made import draw


def row(question: str = "what color is it?", ratio: float = 0.63, **answers: tuple[float, float]) -> AnswerRow:
    winner = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    return AnswerRow(question, winner, torch.rand(3, 8, 8), ratio, answers or {"red": (0.9, 0.4), "blue": (0.05, 0.5)})


def test_a_row_of_the_grid_shows_both_images_and_how_probable_answers_are() -> None:
    rows = [row(), row("is there a circle?", 0.2, yes=(0.7, 0.6), no=(0.3, 0.4))]
    figure = answer_grid(rows)
    assert len(figure.axes) == 6
    for number, each in enumerate(rows):
        left, middle, right = figure.axes[3 * number : 3 * number + 3]
        assert np.allclose(left.images[0].get_array(), each.winner.movedim(0, -1) / 255)
        assert np.allclose(middle.images[0].get_array(), each.loser.movedim(0, -1))
        assert right.get_xlabel() == each.question and left.get_xlabel() == ""
        assert [label.get_text() for label in right.get_yticklabels()] == list(each.answers)
        assert right.get_xlim() == (0, 1)
    shares = [figure.axes[place].get_xlabel().replace(" ", "") for place in (1, 4)]
    assert shares == ["63%ofthewinner", "20%ofthewinner"]
    pixels = draw(figure)
    assert min(pixels.shape[:2]) > 350 and pixels.std() > 20


def test_bars_are_the_probabilities_winner_above_loser_and_the_right_answer_on_top() -> None:
    figure = answer_grid([row(), row()])
    assert [axis.get_title() for axis in figure.axes[:3]] == ["winner", "loser", "probability of the answer"]
    right = figure.axes[2]
    winner, loser = right.containers
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["winner", "loser"]
    assert all(axis.get_legend() is None for axis in figure.axes)
    assert [bar.get_width() for bar in winner] == [0.9, 0.05] and [bar.get_width() for bar in loser] == [0.4, 0.5]
    # Down the page: the right answer's winner and loser, then those of the other one; no bar covers another.
    order = sorted([*winner, *loser], key=lambda bar: -right.transData.transform((0, bar.get_y()))[1])
    assert [bar.get_width() for bar in order] == [0.9, 0.4, 0.05, 0.5]
    for upper, lower in pairwise(order):
        assert upper.get_y() + upper.get_height() <= lower.get_y()


def test_probabilities_are_drawn_over_the_ratio_with_the_rank_correlation() -> None:
    ratio = torch.tensor([0.05, 0.15, 0.5, 0.55, 0.95])
    rising, falling = torch.tensor([0.1, 0.2, 0.3, 0.5, 0.9]), torch.tensor([0.9, 0.5, 0.3, 0.2, 0.1])
    figure = answers_by_ratio({"one": (ratio, rising), "two": (ratio, falling)}, bins=10)
    (axis,) = figure.axes
    points, line, other_points, _ = axis.lines
    assert np.allclose(points.get_xdata(), ratio) and np.allclose(points.get_ydata(), rising)
    assert np.allclose(other_points.get_ydata(), falling)
    assert np.allclose(line.get_xdata(), [0.05, 0.15, 0.525, 0.95])
    assert np.allclose(line.get_ydata(), [0.1, 0.2, 0.4, 0.9])
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["one: rank correlation 1.00", "two: rank correlation -1.00"]
    assert "share of the clean image" in axis.get_xlabel() and "probability" in axis.get_ylabel()
    assert draw(figure).std() > 5


def test_each_run_has_its_own_colour() -> None:
    ratio = torch.rand(20)
    figure = answers_by_ratio({str(number): (ratio, torch.rand(20)) for number in range(5)})
    colours = [matplotlib.colors.to_rgb(line.get_color()) for line in figure.axes[0].lines]
    assert colours[::2] == colours[1::2] and len(set(colours)) == 5


def test_bad_input_is_named() -> None:
    ratio = torch.rand(4)
    for call, message in (
        (lambda: answer_grid([]), "rows: got"),
        (lambda: answers_by_ratio({"a": (ratio, ratio)}, bins=0), "bins: got 0"),
        (lambda: answers_by_ratio({"a": (ratio, ratio)}, bins=2.5), "bins: got 2.5"),
        (lambda: answers_by_ratio({"a": (ratio[None], ratio)}), "ratio: got"),
        (lambda: answers_by_ratio({"a": (torch.arange(4), ratio)}), "ratio: got"),
        (lambda: answers_by_ratio({"a": (ratio, ratio[:3])}), "probability: got"),
        (lambda: answers_by_ratio({"a": (ratio, [0.1] * 4)}), "probability: got"),
    ):
        with pytest.raises(mm.MergeMixError, match=message):
            call()


def test_a_picture_without_runs_is_refused() -> None:
    with pytest.raises(mm.MergeMixError, match="runs: got"):
        answers_by_ratio({})


def test_probabilities_may_come_straight_from_a_model() -> None:
    ratio = torch.tensor([0.25, 0.75])
    for probability in (torch.tensor([0.25, 0.5], requires_grad=True), torch.tensor([0.25, 0.5]).bfloat16()):
        figure = answers_by_ratio({"a": (ratio, probability)})
        assert np.allclose(figure.axes[0].lines[0].get_ydata(), [0.25, 0.5])
