"""Tables of a page, replaced by those that a program prints."""

from __future__ import annotations

import re

from timm_mergemix.errors import Words, wrong

__all__ = ["replace_tables", "table_of"]


def table_of(first: str) -> re.Pattern[str]:
    """The pattern of tables in Markdown whose first column has a heading that the expression ``first`` matches."""
    return re.compile(rf"^\| (?:{first}) \|.*\n(?:\|.*\n)*", re.MULTILINE)


def replace_tables(page: str, printed: str, table: re.Pattern[str], said: str) -> str:
    """The page with its tables replaced, in order, by those that are printed.

    Args:
        page: Its text.
        printed: The new tables, with whatever is between them.
        table: The pattern of tables.
        said: What they are called, for the error.

    Raises:
        MergeMixError: If there are more or fewer of them.
    """
    new, old = table.findall(f"{printed}\n"), table.findall(page)
    if len(new) != len(old):
        raise wrong("page", Words(f"{len(old)} {said}"), f"{len(new)}, as the records have")
    return table.sub(lambda _: new.pop(0), page)
