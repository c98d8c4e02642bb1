"""The page on tests of one's own prints what it says, and lists every invariant in order."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from timm_mergemix.testing import MERGING_INVARIANTS, MIXING_INVARIANTS
from timm_mergemix.testing.patched import UNPATCH

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "testing.md").read_text()


def test_the_messages_are_those_that_come_out() -> None:
    names: dict[str, object] = {}
    printed = StringIO()
    with redirect_stdout(printed):
        for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[:3]:
            exec(compile(code, "docs/guide/testing.md", "exec"), names)
    assert printed.getvalue() == "".join(re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL))


def test_all_invariants_are_listed() -> None:
    tables = re.findall(r"^\| invariant \| what holds \|\n\|---\|---\|\n((?:\|.*\n)*)", PAGE, flags=re.MULTILINE)
    listed = [re.findall(r"^\| ([\w ]+) \|", table, flags=re.MULTILINE) for table in tables]
    assert listed == [list(MIXING_INVARIANTS), [*MERGING_INVARIANTS, UNPATCH]]
