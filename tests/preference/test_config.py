"""The settings of the preference."""

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.preference.config import PreferenceConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta", 0),
        ("gamma", -1),
        ("weight", float("inf")),
        ("variant", "ppo"),
        ("saliency", "loser"),
        ("detach_winner", "yes"),
        ("detach_loser", None),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(MergeMixError) as raised:
        PreferenceConfig(**{name: value})
    assert raised.value.argument == name
