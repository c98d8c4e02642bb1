"""Results are read for one machine and one r; an ambiguous choice is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.measured import load
from timm_mergemix import MergeMixError

from .made import MACHINE, POINTS, RESULTS, write_record

OTHER = {**MACHINE, "threads": 4}


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert load(write_record(tmp_path)) == (MACHINE, RESULTS, POINTS)
    assert load(write_record(tmp_path / "speed alone", points=[])).points == []


def test_the_machine_and_r_can_be_chosen(tmp_path: Path) -> None:
    write_record(write_record(tmp_path), OTHER, [point._replace(r=r) for r in ("13", "16") for point in POINTS])
    assert load(tmp_path, OTHER, "16") == (OTHER, RESULTS, [point._replace(r="16") for point in POINTS])
    with pytest.raises(MergeMixError, match="got measurements with 2 values of machine, wanted those with one value"):
        load(tmp_path)
    with pytest.raises(MergeMixError, match="2 values of r of the growth"):
        load(tmp_path, OTHER)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="got measurements with 0 values of machine"):
        load(tmp_path)


def test_the_latest_measurement_counts(tmp_path: Path) -> None:
    write_record(write_record(tmp_path))
    assert load(tmp_path).results == RESULTS
