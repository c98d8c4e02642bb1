"""A script of timm and its runs with and without the launcher. Identical runs are run only once."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any

from ..require import require
from . import cpu_ddp
from .data import Assets
from .run import Run, execute
from .way import MODEL, TRAIN, Way

PYTHON = sys.executable
LAUNCHER = [PYTHON, "-m", "timm_mergemix.launch"]


class NotInScript(Exception):  # noqa: N818
    """The script cannot run this setting, even without the launcher."""


class Bench:
    """A script of timm and its runs.

    Args:
        script: Path of train.py.
        work: An empty folder for the runs.
        assets: The files that the runs read.
        warm: Whether plain runs start in a process that has imported torch and timm.
    """

    def __init__(self, script: Path, work: Path, assets: Assets, warm: bool) -> None:
        self.script, self.work, self.assets, self.warm = script.resolve(), work, assets, warm
        # Copied to its own folder, so that it imports the installed timm and not the one in its repository.
        self.alone = work / "bare"
        self.alone.mkdir(parents=True)
        for name in ("train.py", "validate.py", "benchmark.py"):
            if (script.parent / name).exists():
                shutil.copy(script.parent / name, self.alone / name)
        shutil.copy(script, self.alone / "train.py")
        self._runs: dict[tuple[str, ...], Future[Run]] = {}
        self._lock = Lock()

    def bare(self, flags: str = "", **way: Any) -> Run:
        """Runs the script without the launcher; `Way` explains ``way``.

        Raises:
            NotInScript: If it fails.
        """
        run = self._train("bare", f"{TRAIN} {flags}", Way(**way))
        if run.rc != 0:
            raise NotInScript(run.error)
        return run

    def hooked(self, flags: str = "", base: str = TRAIN, **way: Any) -> Run:
        """Runs the script through the launcher. It must succeed unless ``way`` kills it."""
        run = self._train("hooked", f"{base} {flags}", Way(**way))
        require("kill_at" in way or run.rc == 0, f"exit code {run.rc}: {run.error} [{run.place.name}]")
        return run

    def refused(self, flags: str) -> Run:
        """Runs the script through the launcher; it may fail."""
        return self._train("hooked", f"{TRAIN} {flags}", Way())

    def sibling(self, name: str, flags: str, *, hooked: bool) -> Run:
        """Runs validate.py or benchmark.py through the launcher.

        Raises:
            NotInScript: If it is not beside train.py, or fails without the launcher.
        """
        if not (self.alone / name).exists():
            raise NotInScript(f"no {name} beside it")
        arguments = shlex.split(f"{MODEL} {flags}")
        run = (
            self.launch(self.script.parent / name, arguments, warm=self.warm)
            if hooked
            else self._bare_sibling(name, arguments)
        )
        require(not hooked or run.rc == 0, f"exit code {run.rc}: {run.error} [{run.place.name}]")
        return run

    def launch(self, script: Path, arguments: list[str], place: Path | None = None, warm: bool = False) -> Run:
        """Runs the launcher with any script in any folder."""
        return self._once(
            ("launch", str(script), *arguments, str(place)),
            lambda new: execute([*LAUNCHER, str(script), *arguments], place or new, new / "out", warm=warm),
        )

    def _bare_sibling(self, name: str, arguments: list[str]) -> Run:
        run = self._once(
            ("bare", name, *arguments),
            lambda place: execute([PYTHON, str(self.alone / name), *arguments], place, place / "out", warm=self.warm),
        )
        if run.rc != 0:
            raise NotInScript(run.error)
        return run

    def _train(self, how: str, flags: str, way: Way) -> Run:
        script = str(self.alone / "train.py" if how == "bare" else self.script)
        if way.processes > 1:
            start = [PYTHON, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={way.processes}"]
            start += [cpu_ddp.__file__, how, script]
        else:
            start = [PYTHON, script] if how == "bare" else [*LAUNCHER, script]
        start += ["--data-dir", str(self.assets.images), "--initial-checkpoint", str(self.assets.start)]
        start += shlex.split(flags)

        def run(place: Path) -> Run:
            command = [*start, "--output", str(place), "--experiment", "out"]
            return execute(command, place, place / "out", way.env(), way.interrupt, self.warm and way.is_plain)

        return self._once((how, flags, str(way)), run)

    def _once(self, key: tuple[str, ...], run: Callable[[Path], Run]) -> Run:
        with self._lock:
            known = key in self._runs
            future = self._runs.setdefault(key, Future())
            place = self.work / f"{len(self._runs):03}-{key[0]}"
        if not known:
            place.mkdir()
            try:
                future.set_result(run(place))
            except BaseException as error:
                future.set_exception(error)
        return future.result()
