"""The settings of token merging, before the depth of a model is known."""

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
