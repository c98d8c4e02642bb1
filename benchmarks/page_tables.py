"""Replaces the tables of a page by those that a program prints."""

from __future__ import annotations

import re

from timm_mergemix.errors import Words, wrong

__all__ = ["replace_tables", "table_of"]


def table_of(first: str) -> re.Pattern[str]:
    """Returns a pattern for Markdown tables whose first column has a heading that matches ``first``."""
    return re.compile(rf"^\| (?:{first}) \|.*\n(?:\|.*\n)*", re.MULTILINE)


def replace_tables(page: str, printed: str, table: re.Pattern[str], said: str) -> str:
    """Returns the page with its tables replaced, in order, by the printed tables.

    Args:
        page: Text of the page.
        printed: The new tables, with any text between them.
        table: The pattern for tables.
        said: The name of the tables in the error message.

    Raises:
        MergeMixError: If the number of tables differs.
    """
    new, old = table.findall(f"{printed}\n"), table.findall(page)
    if len(new) != len(old):
        raise wrong("page", Words(f"{len(old)} {said}"), f"{len(new)}, as the records have")
    return table.sub(lambda _: new.pop(0), page)
