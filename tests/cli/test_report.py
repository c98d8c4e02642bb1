import json
from pathlib import Path

from timm_mergemix.cli.report import markdown_table, text_table, write_json


def test_text_table() -> None:
    assert text_table(["method", "top-1"], [["a", "7.5 %"], ["longer name", "80 %"]]) == (
        "method       top-1\n-----------  -----\na            7.5 %\nlonger name   80 %"
    )


def test_markdown_table() -> None:
    assert markdown_table(["m", "n"], [["a", "1"]]) == "| m | n |\n| --- | ---: |\n| a | 1 |"


def test_write_json(tmp_path: Path) -> None:
    assert json.loads(write_json(tmp_path / "a.json", {"b": [1]}).read_text()) == {"b": [1]}
