"""Pictures of merging show which patches became one token."""

import numpy as np
import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.viz import merge_grid, schedule_plot

from ..models import images, tiny
from .made import draw


def test_a_merge_grid_shows_the_tokens_after_each_block() -> None:
    model = tiny()
    x = images(model, batch=2)
    model.train()
    figure = merge_grid(model, x, r=[3, 2, 1], layers=[0, -1], mean=[0.5] * 3, std=[0.3] * 3)
    assert model.training and not hasattr(model, "merging")  # as it was
    plain, first, last, *_ = figure.axes
    assert first.get_title() == "after block 1" and last.get_title() == "after block 3"
    assert (plain.get_xlabel(), first.get_xlabel(), last.get_xlabel()) == (
        "4 x 4 patches",
        "13 patch tokens",
        "10 patch tokens",
    )
    # Each token has one colour, and no pixel's mean is lost.
    image, drawn = (axis.images[0].get_array() for axis in (plain, last))
    assert len(np.unique(drawn.reshape(-1, 3).round(5), axis=0)) == 10
    assert np.allclose(image.mean((0, 1)), drawn.mean((0, 1)), atol=1e-4)
    assert draw(figure).std() > 10


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_outlines_are_where_tokens_meet(size: tuple[int, int]) -> None:
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    _, axis = merge_grid(tiny(img_size=size), x, r=[4, 2, 0], layers=np.array([2])).axes
    drawn = axis.images[0].get_array()
    lines = axis.collections[0].get_segments()
    assert lines
    for (x0, y0), (x1, y1) in lines:
        if x0 == x1:  # upright: the pixels to its left and right differ
            row, column = int((y0 + y1) / 2 + 0.5), int(x0 + 0.5)
            assert not np.allclose(drawn[row, column - 1], drawn[row, column])
        else:
            row, column = int(y0 + 0.5), int((x0 + x1) / 2 + 0.5)
            assert not np.allclose(drawn[row - 1, column], drawn[row, column])


def test_a_patched_model_is_drawn_as_it_merges() -> None:
    model = mm.patch(tiny(), r=2)
    figure = merge_grid(model, images(model, batch=1))
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "4 x 4 patches",
        "14 patch tokens",
        "12 patch tokens",
        "10 patch tokens",
    ]


def test_a_schedule_plot_shows_the_tokens_of_each_block() -> None:
    model = mm.patch(tiny(), r=2)
    tokens = {"unmerged": (17, 17, 17, 17), "r = 2": mm.merge_info(model).tokens}
    figure = schedule_plot(tokens, {"unmerged": 0.010, "r = 2": 0.007})
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["unmerged", "r = 2"]
    assert list(left.lines[1].get_ydata()) == [17, 15, 13, 11]
    assert [text.get_text() for text in right.texts] == ["1.00", "0.70"]
    assert len(schedule_plot(tokens).axes) == 1
    assert draw(figure).std() > 10


def test_bad_input_is_named() -> None:
    model = tiny()
    x = images(model, batch=1)
    for call, message in (
        (lambda: merge_grid(model, x, r=2, rows=0), "rows: got 0"),
        (lambda: merge_grid(model, x, r=2, layers=[3]), "layers: got"),
        (lambda: merge_grid(model, x.byte(), r=2), "images: got a uint8 tensor .*, wanted a float tensor"),
        (lambda: merge_grid(model, x[..., :32], r=2), "images: got"),
        (lambda: merge_grid(torch.nn.Linear(2, 2), x, r=2), "model"),
        (lambda: schedule_plot({}), "tokens: got"),
    ):
        with pytest.raises(mm.MergeMixError, match=message):
            call()
