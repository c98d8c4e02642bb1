"""The error as data, and the checks that raise it."""

from __future__ import annotations

import pickle
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.errors import (
    MissingPackageError,
    Words,
    check_choice,
    check_int,
    check_number,
    check_same_device,
    check_tensor,
    describe,
    named,
    need,
    suggest,
    unusable,
    wrong,
)
from timm_mergemix.merge.find.refusals import unsupported


def test_the_error_is_a_value_error() -> None:
    assert issubclass(MergeMixError, ValueError)


def test_the_message_names_all_three() -> None:
    assert str(wrong("alpha", -1, "a number >= 0")) == "alpha: got -1, wanted a number >= 0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), "an int64 tensor of shape (2, 3)"),
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
def test_describe_is_short_and_tells_shapes_and_classes(value: object, text: str) -> None:
    assert describe(value) == text


def test_an_error_is_data_and_its_text_is_made_when_it_is_shown() -> None:
    error = wrong("r", 9, "at most 4", part="[3]")
    assert (error.argument, error.part, error.got, error.wanted, error.message) == ("r", "[3]", "9", "at most 4", "")
    assert str(error) == "r[3]: got 9, wanted at most 4"
    error = unusable(Path("a/b.png"), KeyError("x"))
    assert (error.argument, error.message, str(error)) == ("a/b.png", "'x'", "a/b.png: 'x'")
    assert str(wrong("r", Words("a ratio of 2"), "less")) == "r: got a ratio of 2, wanted less"


@pytest.mark.parametrize(
    "error",
    [
        wrong("r", 9, "at most 4", part="[3]"),
        unusable("data", "no images"),
        MergeMixError("something else"),
        unsupported("model", torch.nn.Linear(1, 1), "no blocks"),
        MissingPackageError("matplotlib is missing"),
    ],
    ids=str,
)
def test_errors_survive_pickling_and_copying(error: MergeMixError) -> None:
    for copy in (pickle.loads(pickle.dumps(error)), deepcopy(error)):
        assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)


def test_a_worker_of_a_loader_hands_an_error_on_by_one_string() -> None:
    assert str(type(unsupported("model", torch.nn.Linear(1, 1), "x"))("Caught it")) == "Caught it"


def test_a_missing_package_is_an_import_error_too() -> None:
    with pytest.raises(ImportError, match=r'pip install "timm-mergemix\[demo\]"') as raised:
        need("no_such_package", "the test")
    assert isinstance(raised.value, MergeMixError)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (wrong("r", 1, "2"), "saliency_r: got 1, wanted 2"),
        (wrong("r", 1, "2", part="[3]"), "saliency_r[3]: got 1, wanted 2"),
        (wrong("ratio", 1, "2"), "ratio: got 1, wanted 2"),
        (MergeMixError("r: one string has no argument"), "r: one string has no argument"),
    ],
    ids=str,
)
def test_an_argument_that_is_passed_on_has_the_name_that_the_user_wrote(error: MergeMixError, shown: str) -> None:
    with pytest.raises(MergeMixError) as raised, named(r="saliency_r"):
        raise error
    assert str(raised.value) == shown


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(KeyError), named(r="saliency_r"):
        raise KeyError("r: 1")


def test_a_choice_is_checked_against_its_list() -> None:
    check_choice("mode", "a", ("a", "b"))
    for value in ("c", None, 1, ["a"]):
        with pytest.raises(MergeMixError, match=r"^mode: got .*, wanted one of 'a', 'b'"):
            check_choice("mode", value, ("a", "b"))


def test_an_integer_is_checked_against_its_limit() -> None:
    check_int("n", 2, 2)
    for value in (1, 2.0, True, None, "2", float("nan")):
        with pytest.raises(MergeMixError, match=r"^n: got .*, wanted an integer >= 2"):
            check_int("n", value, 2)


def test_a_number_is_checked_against_its_limits() -> None:
    for value in (0, 0.5, 1):
        check_number("p", value, 0, 1)
    check_number("p", 1e9, 0)
    for value in (-0.1, 1.1, True, None, "0.5", float("nan")):
        with pytest.raises(MergeMixError, match=r"^p: got .*, wanted a finite number from 0 to 1"):
            check_number("p", value, 0, 1)
    for value in (-0.1, float("inf"), float("nan")):
        with pytest.raises(MergeMixError, match=r"^p: got .*, wanted a finite number >= 0"):
            check_number("p", value, 0)


def test_a_tensor_is_checked_for_shape_and_kind() -> None:
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


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_an_integer_is_one_of_64_bits(value: int) -> None:
    with pytest.raises(MergeMixError, match=r"^n: got .*, wanted an integer >= 0"):
        check_int("n", value, 0)


def test_an_integer_beyond_all_floats_is_no_finite_number() -> None:
    with pytest.raises(MergeMixError, match=r"^x: got .*, wanted a finite number >= 0"):
        check_number("x", 10**400, 0)


def test_a_tensor_is_checked_for_its_device() -> None:
    like = torch.zeros(1)
    check_tensor("t", torch.zeros(2), ("B",), "float", like)
    for check in (lambda t: check_tensor("t", t, ("B",), "float", like), lambda t: check_same_device("t", t, like)):
        with pytest.raises(
            MergeMixError, match=r"^t: got a tensor on meta, wanted a tensor on cpu, like the other tensors"
        ):
            check(torch.zeros(2, device="meta"))


def test_a_known_name_is_suggested_if_it_is_like_the_unknown_one() -> None:
    assert suggest("--modl", iter(["--out", "--model"])) == ", did you mean --model?"
    assert suggest("--modl", ["--model"], cutoff=0.95) == suggest("--modl", []) == ""
