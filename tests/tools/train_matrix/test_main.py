"""The matrix runs scripts with and without the launcher, and reports a failure by its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.train_matrix import __main__ as matrix
from tools.train_matrix.flags import MERGE, MIX

from .made import PYTHONPATH, SCRIPT

REFUSED = f"refused: {MERGE} nonsense"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A working script, and one whose loss is always the same, so that the launcher has no visible effect."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    text = SCRIPT.read_text()
    made = {"right": text, "deaf": text.replace("return stand_in.train_epoch(", 'return {"loss": 1.0} or (')}
    assert made["deaf"] != text
    for name, changed in made.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(changed)
    return tmp_path / "right" / "train.py", tmp_path / "deaf" / "train.py"


def read(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Returns status and note of each written row, by script and setting."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["script"], row["setting"]): (row["status"], row["note"]) for row in rows}


def test_the_results_of_a_script_determine_the_status(
    scripts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out" / "rows.jsonl", tmp_path / "table.md"
    arguments = ["--filter", MIX, "--jobs", "2", "--work", str(tmp_path / "work"), "--out", str(out)]

    monkeypatch.setenv("TIMM_TRAIN_PY", ":".join(map(str, scripts)))
    assert matrix.main([*arguments, "--markdown", str(table)]) == 1
    note = "CheckError: train_loss of epoch 0: 1.0, as without"
    assert read(out) == {("right", MIX): ("pass", ""), ("deaf", MIX): ("fail", note)}
    assert "| right | deaf |" in table.read_text()
    assert f"fail:\n\n- deaf, {MIX}: {note}" in capsys.readouterr().out

    monkeypatch.setenv("TIMM_TRAIN_PY", str(scripts[0]))
    before = out.read_text()
    assert matrix.main([*arguments, "--filter", REFUSED, "--resume"]) == 0  # this script has no failures
    assert out.read_text().startswith(before)  # existing results are not run again
    status, note = read(out)["right", REFUSED]
    assert status == "pass" and "nonsense" in note


def test_a_filter_that_matches_no_setting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no setting matches --no-such"):
        matrix.main(["--filter", MIX, "--filter=--no-such*", "--out", str(tmp_path / "rows.jsonl")])


@pytest.mark.parametrize(("given", "message"), [("", "is not set"), ("no_such.py", "no_such.py is not a file")])
def test_scripts_must_be_given(given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMM_TRAIN_PY", given)
    with pytest.raises(SystemExit, match=message):
        matrix.main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "rows.jsonl")])


def test_a_script_is_named_after_the_release_of_timm_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "version.py").write_text("__version__ = '1.0.99'\n")
    (tmp_path / "train.py").touch()
    monkeypatch.setenv("TIMM_TRAIN_PY", str(tmp_path / "train.py"))
    assert matrix._scripts() == {"1.0.99": tmp_path / "train.py"}
