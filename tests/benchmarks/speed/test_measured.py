"""A record is read as that of one machine and of one r, and refused where it is of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.measured import load
from timm_mergemix import MergeMixError

from .made import MACHINE, POINTS, RESULTS, write_record

OTHER = {**MACHINE, "threads": 4}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert load(write_record(tmp_path)) == (MACHINE, RESULTS, POINTS)
    assert load(write_record(tmp_path / "speed alone", points=[])).points == []


def test_the_machine_and_the_r_that_are_meant_are_chosen(tmp_path: Path) -> None:
    write_record(write_record(tmp_path), OTHER, [point._replace(r=r) for r in ("13", "16") for point in POINTS])
    assert load(tmp_path, OTHER, "16") == (OTHER, RESULTS, [point._replace(r="16") for point in POINTS])
    with pytest.raises(MergeMixError, match="got measurements with 2 values of machine, wanted those with one value"):
        load(tmp_path)
    with pytest.raises(MergeMixError, match="2 values of r of the growth"):
        load(tmp_path, OTHER)


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="got measurements with 0 values of machine"):
        load(tmp_path)


def test_what_was_measured_again_counts(tmp_path: Path) -> None:
    write_record(write_record(tmp_path))
    assert load(tmp_path).results == RESULTS
