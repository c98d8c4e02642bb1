"""Scripts that pass a device to DDP train on the CPU, and are killed at the requested step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.train_matrix import cpu_ddp


def test_a_script_is_run_under_its_own_name_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print(__name__, sys.argv)")
    command = [sys.executable, cpu_ddp.__file__, "bare", str(script), "--a"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == f"__main__ {[str(script), '--a']}\n"


def test_the_process_is_killed_at_the_requested_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = []
    monkeypatch.setattr(cpu_ddp.os, "kill", lambda pid, signal: killed.append(signal))

    class Wrapped:
        def forward(self, x: int) -> int:
            return x

    cpu_ddp._kill_at(Wrapped, 2)
    wrapped = Wrapped()
    with torch.no_grad():  # a validation step does not count
        wrapped.forward(1)
    assert wrapped.forward(1) == 1 and killed == []
    wrapped.forward(2)
    assert killed == [cpu_ddp.signal.SIGKILL]
