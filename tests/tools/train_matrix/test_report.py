"""The table has one line per setting and one column per script, followed by the errors."""

from tools.train_matrix.report import report
from tools.train_matrix.row import Row

ROWS = [
    Row("1.0.20", "--a", "trains", note="largest difference 0"),
    Row("1.0.20", "--b", "is refused", "fail", "CheckError: exit code 0"),
    Row("1.0.31", "--a", "trains", "not in this script", "no such flag"),
]


def test_the_table_has_all_settings_and_scripts() -> None:
    assert report(ROWS).splitlines()[:4] == [
        "| setting | compared | 1.0.20 | 1.0.31 |",
        "|---|---|---|---|",
        "| --a | trains | pass | - |",
        "| --b | is refused | fail |  |",
    ]


def test_results_are_counted_by_script() -> None:
    assert "1.0.20: 1 fail, 1 pass\n1.0.31: 1 not in this script" in report(ROWS)


def test_failures_are_listed_with_their_errors() -> None:
    assert "fail:\n\n- 1.0.20, --b: CheckError: exit code 0" in report(ROWS)
    assert "not in this script:\n\n- 1.0.31, --a: no such flag" in report(ROWS)
    assert "largest difference" not in report(ROWS)
