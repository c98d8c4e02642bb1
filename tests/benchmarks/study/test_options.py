"""Options of a trial are read from the command line."""

import pytest

from benchmarks.study.options import parse_options
from timm_mergemix.errors import MergeMixError


def test_options_are_read_as_numbers_booleans_or_text() -> None:
    assert parse_options([]) == {}
    given = ["lr=1e-3", "saliency_r=keep:0.5", "divide=false", "r=1,2", "clip_grad=none"]
    assert {name: value for name, (value,) in parse_options(given).items()} == {
        "lr": 1e-3,
        "saliency_r": "keep:0.5",
        "divide": False,
        "r": "1,2",
        "clip_grad": None,
    }
    assert parse_options(["lr=1", "prob=0.5", "lr=2"]) == {"lr": [1, 2], "prob": [0.5]}
    with pytest.raises(MergeMixError, match="set: got 'lr', wanted NAME=VALUE"):
        parse_options(["lr"])
    with pytest.raises(MergeMixError, match="wanted --seeds"):
        parse_options(["seed=3"])
