"""The report of the census counts models by class and lists reasons with the names that they concern."""

from tools.census.report import report
from tools.census.row import Row

ROWS = [
    Row("b", "VisionTransformer", failures={"image: merged": "CheckError: not finite"}, status="failed"),
    Row("a", "VisionTransformer", notes={"image: r=0": "close, not equal"}),
    Row("c", "Eva", status="refused", reason="no positions"),
    Row("d", "ResNet", status="not plain"),
    Row("e", "", status="refused", reason="timm cannot build it"),
]


def test_classes_are_counted() -> None:
    lines = [line.split() for line in report(ROWS).splitlines()]
    assert ["VisionTransformer", "1", "/", "2", "0", "1"] in lines
    assert ["Eva", "0", "/", "1", "1", "0"] in lines
    assert ["all", "1", "/", "4", "2", "1"] in lines


def test_reasons_are_listed_with_names() -> None:
    text = report(ROWS)
    assert "refused:\n  no positions\n    1: c\n  timm cannot build it\n    1: e" in text
    assert "failed:\n  image: merged: CheckError: not finite\n    1: b" in text
    assert "right, with a note:\n  image: r=0: close, not equal\n    1: a" in text


def test_models_that_are_not_plain_are_left_out() -> None:
    assert "ResNet" not in report(ROWS)
    assert "failed:" not in report([ROWS[1]])
