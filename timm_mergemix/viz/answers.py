"""Answers to questions about clean images and about their mixes, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from ..checks import is_image_dtype
from ..errors import check_int, check_number, check_tensor, wrong
from ..metrics import rank_correlation
from .canvas import check_named, displayable, is_number, label_lines, new_figure, show_image
from .training import binned_means, is_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AnswerRow", "answer_grid", "answers_by_ratio"]

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


class AnswerRow(NamedTuple):
    """A question in a picture.

    Attributes:
        question: In words.
        winner: (C, H, W), the clean image, uint8 or float from 0 to 1.
        loser: (C, H, W), its mix.
        ratio: How much of the mix is the clean image.
        answers: Answer -> its probability for the clean image and for the mix; the right one first.
    """

    question: str
    winner: Tensor
    loser: Tensor
    ratio: float
    answers: Mapping[str, tuple[float, float]]


def answer_grid(rows: Sequence[AnswerRow]) -> Figure:
    """For each question the clean image, its mix, and how probable answers are for both.

    Args:
        rows: The questions.

    Raises:
        MergeMixError: If there are none, or matplotlib is not installed.
    """
    if not isinstance(rows, (list, tuple)) or not rows:
        raise wrong("rows", rows, "at least one question")
    for number, row in enumerate(rows):
        _check_row(f"rows[{number}]", row)
    figure = new_figure(7.2, 0.4 + 1.75 * len(rows))
    axes = figure.subplots(len(rows), 3, squeeze=False, width_ratios=[1, 1, 2])
    for title, axis in zip(("winner", "loser", "probability of the answer"), axes[0], strict=True):
        axis.set_title(title, fontsize=10, pad=8)
    for (left, middle, right), row in zip(axes, rows, strict=True):
        winner, loser = displayable(row.winner[None], None, None)[0], displayable(row.loser[None], None, None)[0]
        show_image(left, winner, "")
        show_image(middle, loser, f"{100 * row.ratio:.0f} % of the winner")
        _draw_answers(right, row)
    figure.legend(*axes[0][2].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def answers_by_ratio(runs: Mapping[str, tuple[Tensor, Tensor]], bins: int = 10) -> Figure:
    """How probable the right answer is for mixes, against how much of the clean image they show.

    Args:
        runs: Name -> ratio of the mixes (n,) and probability of the right answer for each (n,), both float.
        bins: Number of bins; each point of a line is the mean of one.

    Raises:
        MergeMixError: If shapes do not fit, or matplotlib is not installed.
    """
    check_int("bins", bins, 1)
    check_named("runs", runs, "at least one, with ratios and probabilities", is_pair)
    figure = new_figure(5.6, 4.2)
    axis = figure.subplots()
    for number, (name, (ratio, probability)) in enumerate(runs.items()):
        check_tensor("ratio", ratio, ("n",), "float")
        check_tensor("probability", probability, tuple(ratio.shape), "float")
        ratio, probability = (values.detach().cpu().float() for values in (ratio, probability))
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(ratio.numpy(), probability.numpy(), ".", color=colour, alpha=0.08, markersize=3)
        label = f"{name}: rank correlation {rank_correlation(ratio, probability).item():.2f}"
        axis.plot(*binned_means(ratio, probability, bins), color=colour, linewidth=2, label=label)
    label_lines(axis, "mixes of two pictures", "share of the clean image in the mix", "probability of its answer")
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.legend(fontsize=8, loc="upper left")
    return figure


def _check_row(argument: str, row: Any) -> None:
    """Raises unless a row can be drawn."""
    if not isinstance(row, AnswerRow):
        raise wrong(argument, row, "an AnswerRow")
    for name, image in (("winner", row.winner), ("loser", row.loser)):
        check_tensor(f"{argument}.{name}", image, ("C", "H", "W"))
        if not is_image_dtype(image.dtype) or not image.numel() or image.is_meta:
            raise wrong(f"{argument}.{name}", image, "a uint8 or float image with values")
    check_number(f"{argument}.ratio", row.ratio, 0, 1)
    wanted = "a dictionary of answers with two probabilities each"
    check_named(f"{argument}.answers", row.answers, wanted, _is_answer)


def _is_answer(probabilities: Any) -> bool:
    is_two = isinstance(probabilities, (list, tuple)) and len(probabilities) == 2
    return is_two and all(map(is_number, probabilities))


def _draw_answers(axis: Any, row: AnswerRow) -> None:
    names = list(row.answers)
    for side, (label, colour) in enumerate((("winner", "tab:blue"), ("loser", "tab:orange"))):
        places = [number + 0.36 * (side - 0.5) for number in range(len(names))]
        axis.barh(places, [row.answers[name][side] for name in names], height=0.32, color=colour, label=label)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlim=(0, 1))
    axis.invert_yaxis()
    axis.set_xlabel(row.question, fontsize=9)
