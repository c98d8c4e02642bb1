"""Processes forked from one that has imported torch and timm, which is several times faster than new processes."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch._dynamo", "torchvision", "timm.task", "timm.data", "timm.scheduler"])


class WarmProcess:
    """The methods of `subprocess.Popen` that the runs need, for a command that starts with ``python``."""

    def __init__(self, command: Sequence[str], place: Path, env: Mapping[str, str], log: Path) -> None:
        workers = multiprocessing.get_start_method()
        self._process = CONTEXT.Process(target=_run, args=(list(command[1:]), place, dict(env), log, workers))
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        """Returns the exit code, or None while the process runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Waits for the end of the process and returns its exit code."""
        self._process.join()
        return self.returncode

    @property
    def returncode(self) -> int:
        """The exit code of a process that has ended."""
        return self._process.exitcode or 0


def _run(command: list[str], place: Path, env: dict[str, str], log: Path, workers: str) -> None:
    multiprocessing.set_start_method(
        workers, force=True
    )  # not the standard input of this process, which data loaders would inherit
    os.setsid()
    os.chdir(place)
    os.environ.update(env)
    with log.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    if command[0] == "-m":
        sys.path[0], sys.argv = str(place), command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(command[0]).parent), command
        runpy.run_path(command[0], run_name="__main__")
