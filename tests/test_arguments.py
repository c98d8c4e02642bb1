import argparse

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.arguments import parse_layer, parse_r, plain_r, read_r


@pytest.mark.parametrize(
    ("text", "r"),
    [
        ("13", 13),
        ("0", 0),
        ("decreasing:13", ("decreasing", 13)),
        ("total:98", ("total", 98)),
        ("keep:0.5", ("keep", 0.5)),
        ("1,2,3", [1, 2, 3]),
    ],
)
def test_parse_r(text: str, r: object) -> None:
    assert parse_r(text) == r


@pytest.mark.parametrize("text", ["", "x", "1.5", "keep:", "total:0.5", "1,,2", "keep:half"])
def test_bad_r(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"wanted 13, decreasing:13, total:98, keep:0\.5 or 1,2,3"):
        parse_r(text)


@pytest.mark.parametrize("text", ["13", "0", "decreasing:13", "total:98", "keep:0.5", "1,2,3"])
def test_what_is_kept_is_plain_and_means_the_same(text: str) -> None:
    kept = plain_r(text)
    assert isinstance(kept, (int, list, str))
    assert read_r(kept) == parse_r(text)


def test_plain_r_refuses_what_parse_r_refuses() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        plain_r("half")


@pytest.mark.parametrize(("text", "layer"), [("pool", "pool"), ("-1", -1), ("8", 8)])
def test_layers(text: str, layer: int | str) -> None:
    assert parse_layer(text) == layer
    with pytest.raises(argparse.ArgumentTypeError, match="the index of a block or 'pool'"):
        parse_layer(f"{text}.")


def test_what_a_file_says_of_r_is_an_error_of_this_library() -> None:
    assert (read_r("keep:0.5"), read_r(3), read_r(None)) == (("keep", 0.5), 3, None)
    with pytest.raises(MergeMixError, match=r"^r: got 'abc', wanted 13, decreasing:13"):
        read_r("abc")
