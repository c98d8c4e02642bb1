"""Run by torchrun in place of the script, so that timm's scripts can train in several processes on the CPU.

They pass ``device_ids=[device]`` to DDP, which the CPU does not support. Neither the script nor the library is changed.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

KILL_AT = "TRAIN_MATRIX_KILL_AT"  # the training step, counted from 1, at which every process is killed


def _adapt() -> None:
    from torch.nn.parallel import DistributedDataParallel

    init = DistributedDataParallel.__init__

    def without_ids(self: Any, module: Any, device_ids: Any = None, *args: Any, **kwargs: Any) -> None:
        init(self, module, None, *args, **kwargs)

    DistributedDataParallel.__init__ = without_ids  # type: ignore[method-assign]
    if KILL_AT in os.environ:
        _kill_at(DistributedDataParallel, int(os.environ[KILL_AT]))


def _kill_at(ddp: Any, last: int) -> None:
    import torch

    forward, steps = ddp.forward, 0

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(self, *args, **kwargs)

    ddp.forward = counting


if __name__ == "__main__":
    how, *sys.argv = sys.argv[1:]
    sys.path[0] = os.getcwd()  # as with python -m, in place of the folder of this file
    _adapt()
    if how == "bare":
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.argv.insert(0, "timm_mergemix.launch")
        runpy.run_module("timm_mergemix.launch", run_name="__main__", alter_sys=True)
