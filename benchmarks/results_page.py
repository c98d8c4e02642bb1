"""Writes the tables and pictures of docs/results.md, -settings.md and -tables.md from the records.

The tables of docs/results-tables.md are those whose first column is "method", in order: for each task accuracy,
robustness and, where they were measured, pairs. A new table needs a line ``| method |`` in its place. Those of
the other two are short ones, each below the line ``<!-- table: NAME -->``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import main
from benchmarks.feature_maps import records_in, table
from benchmarks.page_tables import replace_tables, table_of
from benchmarks.performance_page import fill as fill_named
from benchmarks.records import Record
from benchmarks.study.cost import costs_in
from benchmarks.study.curves import draw_curves
from benchmarks.study.gains import draw_gains, gains_table
from benchmarks.study.picture import draw
from benchmarks.study.questions import QUESTIONS
from benchmarks.study.results import tables
from benchmarks.study.summary import MEASURES, recipe_table, summary
from benchmarks.study.sweep import trials_in
from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.files.writing import write_file

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "fill", "fill_settings", "fill_short", "run"]

SUMMARY = "Write the tables and pictures of the pages of results from the committed records of trials."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
RECORDS = RESULTS / "final.jsonl"
DRAWINGS = RESULTS / "drawings.jsonl"
COSTS = RESULTS / "costs.jsonl"
PAGE = ROOT / "docs" / "results-tables.md"
SHORT = ROOT / "docs" / "results.md"
SETTINGS = ROOT / "docs" / "results-settings.md"
PICTURES = ROOT / "docs" / "images"
TABLE = table_of("method")


def fill(page: str, printed: str) -> str:
    """The page with its tables replaced by those that are printed.

    Raises:
        MergeMixError: If there are more or fewer of them.
    """
    return replace_tables(page, printed, TABLE, "tables that begin with 'method'")


def fill_short(page: str) -> str:
    """The page of answers with its short tables, made from the committed records."""
    records, costs = trials_in(RECORDS).read(), costs_in(COSTS)
    gains = {each.name: gains_table(trials_in(RESULTS / each.file).read(), each, costs) for each in QUESTIONS}
    everywhere = [*records, *trials_in(DRAWINGS).read()]
    short = {name: summary(everywhere, name) for name in MEASURES} | {"the recipe": recipe_table(everywhere)}
    return fill_named(page, short | gains)


def fill_settings(page: str) -> str:
    """The page on how settings were chosen, with its table of feature maps."""
    return fill_named(page, {"feature maps": table(records_in(RESULTS / "feature_maps.jsonl").read())})


def tasks_of(records: Sequence[Record]) -> list[str]:
    """The names of the tasks, in the order of the records."""
    return list(dict.fromkeys(record["trial"]["task"] for record in records))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Writes the pages, and pictures for each task and question."""
    records = trials_in(RECORDS).read()
    write_file(PAGE, fill(PAGE.read_text(encoding="utf-8"), tables(records, "test")))
    write_file(SHORT, fill_short(SHORT.read_text(encoding="utf-8")))
    write_file(SETTINGS, fill_settings(SETTINGS.read_text(encoding="utf-8")))
    for task in tasks_of(records):
        own = [record for record in records if record["trial"]["task"] == task]
        save_figure(draw(own, "test"), PICTURES / f"chart-results-{task}.png", dpi=200)
    for question in QUESTIONS:
        own, name = trials_in(RESULTS / question.file).read(), question.name.replace(" ", "-")
        figure = draw_curves(own, "test", costs_in(COSTS)) if question.curves else draw_gains(own, question)
        save_figure(figure, PICTURES / f"chart-{name}.png", dpi=200)
    print(f"Wrote {PAGE}, {SHORT}, {SETTINGS} and the pictures in {PICTURES}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
