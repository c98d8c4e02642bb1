"""A row is printed as one line."""

from tools.train_matrix.row import Row


def test_a_row_shows_script_status_time_and_note() -> None:
    row = Row("1.0.20", "--a", "trains", "fail", "exit code 1", 2.4)
    assert str(row).split() == ["1.0.20", "fail", "2", "s", "--a:", "trains", "(exit", "code", "1)"]
    assert "(" not in str(Row("1.0.20", "--a", "trains"))
