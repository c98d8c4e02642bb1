"""The settings of a saliency pass, as Python and as command lines write them."""

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.saliency.config import SaliencyConfig, read_layer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("saliency_r", "keep"),
        ("saliency_r", -1),
        ("saliency_r", ("keep", 2.0)),
        ("saliency_scale", 0.05),
        ("saliency_scale", 1.5),
        ("layer", "last"),
        ("layer", 1.5),
        ("layer", True),
        ("divide", "no"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(MergeMixError) as raised:
        SaliencyConfig(**{name: value})
    assert raised.value.argument == name


@pytest.mark.parametrize("r", [None, 0, 3, [1, 2, 3], ("total", 9), ("keep", 0.5), "keep:0.5", "1,2,3"])
def test_every_form_of_r_is_taken(r: object) -> None:
    assert SaliencyConfig(saliency_r=r).saliency_r == r


def test_a_layer_is_read_from_a_word() -> None:
    assert [read_layer(word) for word in ("3", "-1", "pool")] == [3, -1, "pool"]
    with pytest.raises(MergeMixError, match="layer: got 'last', wanted the index of a block or feature map, or 'pool'"):
        read_layer("last")
