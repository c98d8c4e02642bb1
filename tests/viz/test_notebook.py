"""A notebook shows a figure that is its last value."""

from io import BytesIO

from PIL import Image

from timm_mergemix.viz.canvas import new_figure


def test_a_notebook_shows_the_figure() -> None:
    figure = new_figure(2, 1)
    assert Image.open(BytesIO(figure._repr_png_())).size == (220, 110)
