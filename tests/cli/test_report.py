"""Tables as text and Markdown, and JSON for people and programs."""

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


def test_json_has_null_for_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = write_json(tmp_path / "results.json", {"a": [float("nan"), 1.5], "b": {"c": float("inf")}})
    assert json.loads(path.read_text()) == {"a": [None, 1.5], "b": {"c": None}}
