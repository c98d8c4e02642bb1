"""The settings of token merging, before the depth of a model is known."""

from typing import Any

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.merge.config import MergeConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [("r", -1), ("r", "many"), ("r", None), ("prop_attn", "no"), ("matching", "best"), ("matching", None)],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(MergeMixError) as raised:
        MergeConfig(**{name: value})
    assert raised.value.argument == name


@pytest.mark.parametrize(
    ("r", "merges"),
    [
        (0, False),
        ("0", False),
        ("00", False),
        ("0,0", False),
        ([0, 0], False),
        ("total:0", False),
        ("decreasing:0", False),
        ("keep:1", False),
        (1, True),
        ("0,1", True),
        ("total:1", True),
        (("keep", 0.5), True),
    ],
)
def test_whether_anything_merges(r: Any, merges: bool) -> None:
    assert MergeConfig(r).merges == merges
