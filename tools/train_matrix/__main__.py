"""``python -m tools.train_matrix``: runs timm's train.py with and without the launcher, in many settings.

TIMM_TRAIN_PY lists the scripts, separated by colons.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatch
from pathlib import Path

from ..rows import read_rows, write_row
from .bench import Bench, NotInScript
from .data import make_assets
from .report import report
from .row import Row
from .setting import Setting
from .settings import SETTINGS


def main(arguments: list[str] | None = None) -> int:
    """Runs the matrix; returns 1 if anything fails."""
    options = _parse(arguments)
    # Background jobs of a shell ignore Ctrl-C, and the scripts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = _chosen(options.filter or ["*"])
    known = read_rows(options.out, Row) if options.resume else []
    rows = {(row.script, row.setting): row for row in known}
    scripts = _scripts()
    shutil.rmtree(options.work, ignore_errors=True)
    assets = make_assets(options.work / "assets")
    benches = {name: Bench(path, options.work / name, assets, options.warm) for name, path in scripts.items()}
    wanted = [(name, setting) for name in benches for setting in chosen]
    start = time.perf_counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a" if options.resume else "w") as file:
        todo = [(benches[name], name, setting) for name, setting in wanted if (name, setting.name) not in rows]
        for row in _examine_all(todo, options.jobs):
            rows[row.script, row.setting] = row
            write_row(file, row)
            print(row, flush=True)
    found = [rows[name, setting.name] for name, setting in wanted]
    text = report(found)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    print(f"\n{text}\n\n{time.perf_counter() - start:.0f} s; all results in {options.out}, logs in {options.work}")
    return int(any(row.status == "fail" for row in found))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.train_matrix", description=__doc__)
    filter_help = "only these settings; may be repeated; --filter='--amp*' if it begins with a dash"
    parser.add_argument("--filter", action="append", metavar="GLOB", help=filter_help)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="settings that run at the same time")
    parser.add_argument("--out", type=Path, default=Path("runs/train_matrix.jsonl"), help="where the JSON lines go")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/train_matrix"), help="folder for the runs, which is emptied first"
    )
    parser.add_argument("--resume", action="store_true", help="keep the results already in --out")
    parser.add_argument(
        "--warm", action="store_true", help="fork runs from a process that has imported timm, which is faster"
    )
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="also write the table to this file")
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    return options


def _chosen(globs: list[str]) -> list[Setting]:
    """Returns the settings that match a pattern; each pattern must match at least one."""
    for glob in globs:
        if not any(fnmatch(name, glob) for name in SETTINGS):
            sys.exit(f"--filter: no setting matches {glob}")
    return [setting for name, setting in SETTINGS.items() if any(fnmatch(name, glob) for glob in globs)]


def _scripts() -> dict[str, Path]:
    """Returns the scripts by the release of timm that they belong to."""
    given = os.environ.get("TIMM_TRAIN_PY", "")
    if not given:
        sys.exit("TIMM_TRAIN_PY is not set: it must be the path of timm's train.py, or several separated by colons")
    scripts = {}
    for path in map(Path, given.split(":")):
        if not path.is_file():
            sys.exit(f"TIMM_TRAIN_PY: {path} is not a file")
        version = path.resolve().parent / "timm" / "version.py"
        found = re.search(r"'(.+)'", version.read_text()) if version.exists() else None
        scripts[found[1] if found else path.resolve().parent.name] = path
    return scripts


def _examine_all(todo: list[tuple[Bench, str, Setting]], jobs: int) -> Iterator[Row]:
    pool = ThreadPoolExecutor(max(1, jobs))
    try:
        for future in as_completed([pool.submit(_examine, *entry) for entry in todo]):
            yield future.result()
    finally:  # an interrupt does not wait for settings that have not started
        pool.shutdown(cancel_futures=True)


def _examine(bench: Bench, script: str, setting: Setting) -> Row:
    """Runs one setting with one script; never raises."""
    row, start = Row(script, setting.name, setting.compared), time.perf_counter()
    try:
        row.note = setting.check(bench) or ""
    except NotInScript as error:
        row.status, row.note = "not in this script", str(error)
    except Exception as error:
        row.status, row.note = "fail", f"{type(error).__name__}: {error}"
    row.seconds = round(time.perf_counter() - start, 1)
    return row


if __name__ == "__main__":
    sys.exit(main())
