"""The strategy draws batches with every listed value, and shrinks towards the first ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import find, given

from timm_mergemix import MergeMixError
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.testing import Batch, batches, modes
from timm_mergemix.testing.strategies import DTYPES, LAYOUTS

from ..mix.batches import quick

EVERY = {"sizes": (1, 2, 5), "channels": (3, 1), "heights": (4, 6), "widths": (5, 6), "dtypes": DTYPES}


@quick
@given(batch=batches(4, labels=("integers", "rows"), **EVERY))
def test_a_batch_has_the_properties_that_it_reports(batch: Batch) -> None:
    count, channels, height, width = batch.images.shape
    assert count in (1, 2, 5) and channels in (3, 1) and height in (4, 6) and width in (5, 6)
    assert batch.images.dtype in DTYPES and batch.num_classes == 4
    assert batch.images.min() >= 0 and batch.images.max() <= (255 if batch.images.dtype == torch.uint8 else 1)
    assert batch.labels.shape == (count,) and batch.labels.min() >= 0 and batch.labels.max() < 4
    if batch.layout == "channels_last":
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.images.is_contiguous() or batch.layout != "contiguous"
    assert (batch.images.stride(3) == 2) == (batch.layout == "strided")
    assert batch.given.shape == ((count,) if batch.kind == "integers" else (count, 4))
    assert torch.equal(batch.given if batch.kind == "integers" else batch.given.argmax(dim=1), batch.labels)


def test_every_listed_value_is_drawn() -> None:
    strategy = batches(labels=("integers", "rows"), **EVERY)
    for dtype in DTYPES:
        find(strategy, lambda batch, dtype=dtype: batch.images.dtype == dtype)
    for layout in LAYOUTS:
        find(strategy, lambda batch, layout=layout: batch.layout == layout)
    find(strategy, lambda batch: batch.kind == "rows" and len(batch.images) == 5)


def test_batches_shrink_to_the_simplest_one() -> None:
    batch = find(batches(), lambda batch: True)
    said = "images (1, 3, 8, 8) float32, labels [0] of 5, seed 0"
    assert repr(batch) == said and find(batches(), lambda batch: len(batch.images) > 2).images.shape == (3, 3, 8, 8)


def test_the_repr_of_a_batch_shows_unusual_properties() -> None:
    batch = Batch(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([1, 0]), 3, 7, "strided", "rows")
    assert repr(batch) == "images (2, 1, 4, 4) uint8 strided, labels [1, 0] of 3 as rows, seed 7"


@quick
@given(batch=batches(dtypes=DTYPES))
def test_painted_images_have_the_shape_dtype_and_layout_of_the_batch(batch: Batch) -> None:
    colours = torch.rand(len(batch.images), 3)
    painted = batch.painted(colours)
    assert painted.shape == batch.images.shape and painted.dtype == batch.images.dtype
    assert painted.stride() == batch.images.stride()
    scale = 255 if painted.dtype == torch.uint8 else 1
    assert torch.allclose(painted[:, :, 2, 1].double() / scale, colours.double(), atol=5e-3)
    assert (painted == painted[:, :, :1, :1]).all()


def test_modes_are_the_modes_of_mixers() -> None:
    drawn = {find(modes(), lambda mode, wanted=wanted: mode == wanted) for wanted in ("batch", "pair", "elem")}
    for mode in drawn:
        MixConfig.check({"mode": mode})
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("num_classes", {"num_classes": 1}),
        ("sizes", {"sizes": ()}),
        (r"sizes\[1\]", {"sizes": (1, 0)}),
        ("widths", {"widths": 8}),
        (r"channels\[0\]", {"channels": (2.5,)}),
        (r"dtypes\[0\]", {"dtypes": (torch.int64,)}),
        (r"dtypes\[0\]", {"dtypes": ("float32",)}),
        (r"layouts\[1\]", {"layouts": ("contiguous", "upside down")}),
        (r"labels\[0\]", {"labels": ("words",)}),
        ("labels", {"labels": "rows"}),
    ],
)
def test_bad_options_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=f"^{argument}: got"):
        batches(**options)
