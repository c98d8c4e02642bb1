"""A bench starts each run once, and separates faults of the script itself from those of the launcher."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.require import CheckError
from tools.train_matrix import bench as benches
from tools.train_matrix.bench import Bench, NotInScript
from tools.train_matrix.run import Run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Records commands instead of running them; a command with --broken fails."""
    commands = []

    def execute(command: list[str], place: Path, output: Path, *rest: Any, **options: Any) -> Run:
        commands.append(command)
        broken = "--broken" in command
        return Run(int(broken), "ValueError: no such thing" if broken else "", output, place)

    monkeypatch.setattr(benches, "execute", execute)
    return commands


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with only a train.py."""
    script = tmp_path / "train.py"
    script.touch()
    assets = SimpleNamespace(images=tmp_path / "images", start=tmp_path / "start.pth")
    return Bench(script, tmp_path / "work", assets, warm=False)


def test_identical_runs_run_only_once(bench: Bench, started: list[list[str]]) -> None:
    assert bench.bare("--a") is bench.bare("--a")
    assert bench.bare("--a") is not bench.hooked("--a")
    bench.hooked("--b")
    assert len(started) == 3


def test_bare_runs_use_a_copy_and_hooked_ones_the_launcher(bench: Bench, started: list[list[str]]) -> None:
    bench.bare("--a")
    bench.hooked("--a")
    bare, hooked = started
    assert bare[1] == str(bench.alone / "train.py")
    assert hooked[1:4] == ["-m", "timm_mergemix.launch", str(bench.script)]
    assert bare[2 : bare.index("--output")] == hooked[4 : hooked.index("--output")]


def test_several_processes_run_under_torchrun(bench: Bench, started: list[list[str]]) -> None:
    bench.hooked(processes=2)
    assert "torch.distributed.run" in started[0] and "--nproc-per-node=2" in started[0]


def test_a_bare_run_that_fails_is_a_fault_of_the_script(bench: Bench, started: list[list[str]]) -> None:
    with pytest.raises(NotInScript, match="no such thing"):
        bench.bare("--broken")


def test_a_hooked_run_must_succeed_unless_it_is_killed(bench: Bench, started: list[list[str]]) -> None:
    with pytest.raises(CheckError, match="exit code 1: ValueError: no such thing"):
        bench.hooked("--broken")
    assert bench.hooked("--broken", processes=2, kill_at=3).rc == 1
    assert bench.refused("--broken").rc == 1


def test_a_script_beside_train_py_may_be_missing(bench: Bench, started: list[list[str]]) -> None:
    with pytest.raises(NotInScript, match=r"no validate\.py beside it"):
        bench.sibling("validate.py", "", hooked=True)


@pytest.mark.usefixtures("started")
def test_an_error_of_a_run_is_raised_for_every_waiting_setting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "execute", lambda *_, **__: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            bench.bare()
