from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.errors import check_choice, check_int, check_number, check_tensor, describe, named, wrong


def test_is_a_value_error() -> None:
    assert issubclass(MergeMixError, ValueError)


def test_the_message_names_all_three() -> None:
    assert str(wrong("alpha", -1, "a number >= 0")) == "alpha: got -1, wanted a number >= 0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), "a int64 tensor of shape (2, 3)"),
        (torch.nn.Linear(2, 2), "a module of class Linear"),
        (list(range(100)), repr(list(range(100)))[:38] + "...0, 91, 92, 93, 94, 95, 96, 97, 98, 99]"),
        ("x" * 400, "'" + "x" * 147 + "..." + "x" * 147 + "'"),
        (
            Path("/a/rather/long/folder") / ("x" * 100) / "photo.png",
            f"'/a/rather/long/folder/{'x' * 100}/photo.png'",
        ),
        (None, "None"),
    ],
)
def test_describe(value: object, text: str) -> None:
    assert describe(value) == text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("r: got 1, wanted 2", "saliency_r: got 1, wanted 2"),
        ("r[3]: got 1, wanted 2", "saliency_r[3]: got 1, wanted 2"),
        ("ratio: got 1, wanted 2", "ratio: got 1, wanted 2"),
        ("torch.jit.script: got r: 1", "torch.jit.script: got r: 1"),
    ],
)
def test_an_argument_that_is_passed_on_has_the_name_that_the_user_wrote(message: str, shown: str) -> None:
    with pytest.raises(MergeMixError) as raised, named(r="saliency_r"):
        raise MergeMixError(message)
    assert str(raised.value) == shown


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(KeyError), named(r="saliency_r"):
        raise KeyError("r: 1")


def test_choice() -> None:
    check_choice("mode", "a", ("a", "b"))
    for value in ("c", None, 1, ["a"]):
        with pytest.raises(MergeMixError, match=r"^mode: got .*, wanted one of 'a', 'b'"):
            check_choice("mode", value, ("a", "b"))


def test_int() -> None:
    check_int("n", 2, 2)
    for value in (1, 2.0, True, None, "2", float("nan")):
        with pytest.raises(MergeMixError, match=r"^n: got .*, wanted an integer >= 2"):
            check_int("n", value, 2)


def test_number() -> None:
    for value in (0, 0.5, 1):
        check_number("p", value, 0, 1)
    check_number("p", 1e9, 0)
    for value in (-0.1, 1.1, True, None, "0.5", float("nan")):
        with pytest.raises(MergeMixError, match=r"^p: got .*, wanted a finite number from 0 to 1"):
            check_number("p", value, 0, 1)
    for value in (-0.1, float("inf"), float("nan")):
        with pytest.raises(MergeMixError, match=r"^p: got .*, wanted a finite number >= 0"):
            check_number("p", value, 0)


def test_tensor() -> None:
    check_tensor("x", torch.zeros(2, 3), "BC")
    check_tensor("x", torch.zeros(2, 3), ("B", 3), "float")
    check_tensor("x", torch.zeros(2, dtype=torch.uint8), (2,), "integer")
    check_tensor("x", torch.zeros(2, dtype=torch.bool), "B", "bool")
    cases = [
        ([1, 2], "B", "", "a tensor of shape (B,)"),
        (torch.zeros(2), "BC", "float", "a float tensor of shape (B, C)"),
        (torch.zeros(2, 4), ("B", 3), "float", "a float tensor of shape (B, 3)"),
        (torch.zeros(2), "B", "integer", "an integer tensor"),
        (torch.zeros(2, dtype=torch.bool), "B", "integer", "an integer tensor"),
        (torch.zeros(2, dtype=torch.uint8), "B", "bool", "a bool tensor"),
        (torch.zeros(2, dtype=torch.complex64), "B", "float", "a float tensor"),
        (torch.zeros(2, dtype=torch.complex64), "B", "integer", "an integer tensor"),
    ]
    for value, shape, kind, wanted in cases:
        with pytest.raises(MergeMixError) as error:
            check_tensor("x", value, shape, kind)
        assert str(error.value).startswith(f"x: got {describe(value)}, wanted {wanted}")


def test_numpy_numbers_are_numbers() -> None:
    check_int("n", np.int64(3), 1)
    check_number("x", np.float32(0.5), 0, 1)
    with pytest.raises(MergeMixError):
        check_int("n", np.bool_(True), 0)
