"""Tables are replaced in order, and a page with more or fewer of them is refused."""

from __future__ import annotations

import pytest

from benchmarks.page_tables import replace_tables, table_of
from timm_mergemix import MergeMixError

PAGE = "words\n\n| a | 1 |\n| --- | --- |\n| x | 2 |\n\n| c | 3 |\n\n| b | 4 |\n"


def test_tables_with_other_headings_are_kept() -> None:
    found = replace_tables(PAGE, "| b | new |\n\n| a | newer |", table_of("a|b"), "tables")
    assert found == "words\n\n| b | new |\n\n| c | 3 |\n\n| a | newer |\n"


def test_a_different_number_of_tables_is_refused() -> None:
    with pytest.raises(MergeMixError, match="page: got 2 tables, wanted 1, as the records have"):
        replace_tables(PAGE, "| a | new |", table_of("a|b"), "tables")
