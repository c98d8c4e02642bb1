"""An error inside a check counts as a failure of that check alone."""

from tools.census.row import Row


def test_an_error_is_kept_with_its_kind_and_first_line() -> None:
    row = Row("a")
    with row.check("merged"):
        raise ValueError("one\ntwo")
    with row.check("empty"):
        raise KeyError
    with row.check("right"):
        pass
    assert row.failures == {"merged": "ValueError: one", "empty": "KeyError: "}
