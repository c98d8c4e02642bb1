"""Comparisons accept equal runs, and report what differs otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tools.require import CheckError
from tools.train_matrix.checks import apart, same, same_keys, same_weights, says, trains
from tools.train_matrix.run import Run

from .made import epochs, made_run

WEIGHTS = {"a": torch.ones(2), "b": torch.zeros(3)}


class Made:
    """A bench with two finished runs."""

    def __init__(self, bare: Run, hooked: Run) -> None:
        self.runs = {"bare": bare, "hooked": hooked}

    def bare(self, flags: str, **way: Any) -> Run:
        return self.runs["bare"]

    def hooked(self, flags: str, **way: Any) -> Run:
        return self.runs["hooked"]


def test_columns_are_the_same_within_a_tolerance(tmp_path: Path) -> None:
    a, b = (made_run(tmp_path / str(x), epochs(1.0, 0.5 + x)) for x in (0, 0.25))
    assert same(a, b, ["train_loss"], within=0.25) == "largest difference 2.5e-01"
    assert same(a, b, ["train_loss"], epochs=slice(1)) == "largest difference 0.0e+00"
    with pytest.raises(CheckError, match=r"train_loss: \[1.0, 0.5\], wanted \[1.0, 0.75\]"):
        same(a, b, ["train_loss"], within=0.2)


def test_runs_of_different_lengths_are_not_the_same(tmp_path: Path) -> None:
    a, b = made_run(tmp_path / "a", epochs(1.0)), made_run(tmp_path / "b", epochs(1.0, 2.0))
    with pytest.raises(CheckError, match="1 epochs, wanted 2"):
        same(a, b, ["train_loss"])


def test_losses_must_differ(tmp_path: Path) -> None:
    a, b = made_run(tmp_path / "a", epochs(1.0)), made_run(tmp_path / "b", epochs(1.1))
    apart(a, b)
    with pytest.raises(CheckError, match=r"train_loss of epoch 0: 1\.0, as without"):
        apart(a, b, by=0.2)


def test_checkpoints_hold_the_same_keys_and_shapes(tmp_path: Path) -> None:
    a = made_run(tmp_path / "a", state=WEIGHTS)
    same_keys(a, made_run(tmp_path / "b", state={key: value + 1 for key, value in WEIGHTS.items()}))
    for name, other in {"c": {"a": torch.ones(2)}, "d": WEIGHTS | {"a": torch.ones(3)}}.items():
        with pytest.raises(CheckError, match="state_dict differs"):
            same_keys(a, made_run(tmp_path / name, state=other))


def test_weights_are_the_same_within_a_tolerance(tmp_path: Path) -> None:
    a = made_run(tmp_path / "a", state=WEIGHTS)
    b = made_run(tmp_path / "b", state=WEIGHTS | {"a": torch.full((2,), 1.5)})
    same_weights(a, b, within=0.5)
    with pytest.raises(CheckError, match=r"weights differ by 5\.0e-01"):
        same_weights(a, b, within=0.4)


def test_the_log_is_searched_in_upper_and_lower_case(tmp_path: Path) -> None:
    run = made_run(tmp_path / "a", log="Validation runs MERGED")
    says(run, "runs merged")
    with pytest.raises(CheckError, match="log does not say 'unmerged'"):
        says(run, "unmerged")


def test_a_run_trains_if_only_its_loss_differs_from_the_bare_run(tmp_path: Path) -> None:
    bare = made_run(tmp_path / "bare", epochs(1.0, 0.9), WEIGHTS)
    hooked = made_run(tmp_path / "hooked", epochs(1.2, 1.1), WEIGHTS)
    assert trains(Made(bare, hooked)) is hooked


@pytest.mark.parametrize(
    ("rows", "state", "message"),
    [
        (epochs(1.2), WEIGHTS, r"epochs \[0\.0\]"),
        (epochs(1.2, float("nan")), WEIGHTS, "not finite"),
        (epochs(1.2, 1.1), None, "files"),
        (epochs(1.2, 1.1), {"a": torch.ones(2)}, "state_dict differs"),
        (epochs(1.0, 0.9), WEIGHTS, "as without"),
    ],
)
def test_a_run_that_does_not_train_is_found(rows: Any, state: Any, message: str, tmp_path: Path) -> None:
    bare = made_run(tmp_path / "bare", epochs(1.0, 0.9), WEIGHTS)
    with pytest.raises(CheckError, match=message):
        trains(Made(bare, made_run(tmp_path / "hooked", rows, state)))
