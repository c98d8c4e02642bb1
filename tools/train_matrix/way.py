"""How a script is started: the flags that all runs share, and the options of special runs."""

from __future__ import annotations

from dataclasses import dataclass

from .cpu_ddp import KILL_AT
from .data import CLASSES, SIZE, SMALL

MODEL = (
    f"--model vit_tiny_patch16_224 --model-kwargs img_size={SIZE} "
    + " ".join(f"{key}={value}" for key, value in SMALL.items())
    + f" --img-size {SIZE} --num-classes {CLASSES} --device cpu"
)
# Without augmentation, dropout and drop path, so that two runs can be compared digit by digit.
TRAIN = (
    f"{MODEL} -j 1 -b 8 --seed 0 --epochs 2 --lr 0.01 --warmup-epochs 0 --no-aug --drop-path 0 "
    "--log-interval 1 --checkpoint-hist 3"
)


@dataclass(frozen=True)
class Way:
    """How a run is started, and stopped.

    Attributes:
        processes: Number of processes; more than one run under torchrun.
        kill_at: The training step at which all processes are killed; 0 for none. Needs more than one process.
        interrupt: A pattern of the log at which Ctrl-C is pressed.
        recompiles: Whether torch logs recompilations.
    """

    processes: int = 1
    kill_at: int = 0
    interrupt: str = ""
    recompiles: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the script runs as a single process, as a user's shell would start it."""
        return self == Way()

    def env(self) -> dict[str, str]:
        """Environment variables that the run needs in addition to those of this process."""
        killed = {KILL_AT: str(self.kill_at)} if self.kill_at else {}
        return killed | ({"TORCH_LOGS": "recompiles"} if self.recompiles else {})
