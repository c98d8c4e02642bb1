"""Runs a script in a separate process and reads its results."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..require import require
from .warm import WarmProcess

TIMEOUT = 400  # seconds


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        rc: Exit code.
        log: Its standard output and standard error.
        output: The output folder that was passed to it. It may not exist.
        place: The folder that it ran in.
    """

    rc: int
    log: str
    output: Path
    place: Path

    @property
    def rows(self) -> list[dict[str, float]]:
        """summary.csv."""
        with (self.output / "summary.csv").open() as file:
            header, *lines = csv.reader(file)
        require(all(len(line) == len(header) for line in lines), f"summary.csv: rows are not as long as {header}")
        return [dict(zip(header, map(float, line), strict=True)) for line in lines]

    def column(self, name: str) -> list[float]:
        """Returns one column of summary.csv."""
        return [row[name] for row in self.rows]

    @property
    def files(self) -> list[str]:
        """Names of the files that the run wrote, in any folder."""
        return sorted(path.name for path in self.output.rglob("*")) if self.output.exists() else []

    def checkpoint(self, name: str = "last.pth.tar") -> dict[str, Any]:
        """Loads a checkpoint of the run, by default the newest one."""
        return torch.load(self.output / name, map_location="cpu", weights_only=False)

    @property
    def error(self) -> str:
        """The last line of the log that reports an error, or else the last line."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b|.*: error:", line)]
        return (errors or lines or ["no output"])[-1][:300]


def execute(
    command: Sequence[str],
    place: Path,
    output: Path,
    env: Mapping[str, str] | None = None,
    interrupt: str = "",
    warm: bool = False,
) -> Run:
    """Runs a command until it ends.

    Args:
        command: Program and arguments.
        place: The folder to run in; its output goes to ``log.txt`` in it.
        output: The output folder that was passed to the program.
        env: Environment variables in addition to those of this process.
        interrupt: A pattern. Once the log matches it, the program and its workers are interrupted as by Ctrl-C.
        warm: Whether it runs in a `WarmProcess`.
    """
    log = place / "log.txt"
    (place / "command.txt").write_text(shlex.join(command))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    process = WarmProcess(command, place, variables, log) if warm else _cold(command, place, variables, log)
    try:
        _wait(process, log, interrupt)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Run(process.returncode, log.read_text(errors="replace"), output, place)


def _cold(command: Sequence[str], place: Path, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as file:
        return subprocess.Popen(
            command, cwd=place, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait(process: WarmProcess | subprocess.Popen[bytes], log: Path, interrupt: str) -> None:
    start = time.monotonic()
    while process.poll() is None and time.monotonic() - start < TIMEOUT:
        if interrupt and re.search(interrupt, log.read_text(errors="replace")):
            os.killpg(process.pid, signal.SIGINT)
            interrupt = ""
        time.sleep(0.05)
