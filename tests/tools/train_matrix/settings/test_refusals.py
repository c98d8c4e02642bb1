"""A refusal ends with exit code 2 and its reason, prints no traceback and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.require import CheckError
from tools.train_matrix.settings.refusals import _check

from ..made import made_run

SAID = "timm_mergemix.launch: --merge-r: got 'nonsense'"


def test_a_refusal_gives_its_message(tmp_path: Path) -> None:
    assert _check(made_run(tmp_path / "a", log=SAID, rc=2), "nonsense") == SAID


@pytest.mark.parametrize(
    ("log", "rc", "message"),
    [
        (SAID, 0, "exit code 0"),
        (f"Traceback\n{SAID}", 2, "a traceback"),
        ("train.py: error: another", 2, "no 'nonsense'"),
    ],
)
def test_a_run_that_is_not_refused_is_found(log: str, rc: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=message):
        _check(made_run(tmp_path / "a", log=log, rc=rc), "nonsense")


def test_a_refusal_that_wrote_something_is_found(tmp_path: Path) -> None:
    run = made_run(tmp_path / "a", log=SAID, rc=2)
    (run.output / "args.yaml").touch()
    with pytest.raises(CheckError, match=r"wrote \['args\.yaml'\]"):
        _check(run, "nonsense")
