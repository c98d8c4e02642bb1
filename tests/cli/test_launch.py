"""`timm-mergemix launch` runs timm's own scripts with this library's flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from timm_mergemix.cli.main import main

from ..launch.runs import SCRIPTS, TINY


def test_it_runs_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", str(SCRIPTS / "validate.py"), *TINY, "--merge-r", "2"]) == 0
    assert "tokens in the last MLP: 11" in capsys.readouterr().out


def test_help_of_the_script_has_our_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["launch", str(SCRIPTS / "train_new.py"), "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "Stands in for timm's train.py" in printed
    assert "--mergemix ALPHA" in printed


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", str(tmp_path / "no.py")]) == 2
    assert "timm-mergemix launch: script: got" in capsys.readouterr().err


def test_an_interrupted_script_can_be_called_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "train.py"
    text = "import argparse\nparser = argparse.ArgumentParser()\ncreate_model = None\n"
    script.write_text(f"{text}def main():\n    raise KeyboardInterrupt\n")
    assert main(["launch", str(script), "--lr", "1"]) == 130
    assert f"add that to: timm-mergemix launch {script} --lr 1" in capsys.readouterr().err
