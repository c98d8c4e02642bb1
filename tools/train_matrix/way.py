"""How a script is started: flags that all runs share, and what is unlike a plain run."""

from __future__ import annotations

from dataclasses import dataclass

from .cpu_ddp import KILL_AT
from .data import CLASSES, SIZE, SMALL

MODEL = (
    f"--model vit_tiny_patch16_224 --model-kwargs img_size={SIZE} "
    + " ".join(f"{key}={value}" for key, value in SMALL.items())
    + f" --img-size {SIZE} --num-classes {CLASSES} --device cpu"
)
# Without augmentation, dropout and drop path, so that two runs may be compared to the digit.
TRAIN = (
    f"{MODEL} -j 1 -b 8 --seed 0 --epochs 2 --lr 0.01 --warmup-epochs 0 --no-aug --drop-path 0 "
    "--log-interval 1 --checkpoint-hist 3"
)


@dataclass(frozen=True)
class Way:
    """How a run is started, and stopped.

    Attributes:
        processes: More than one run under torchrun.
        kill_at: The training step at which all of them are killed; 0 for none. They must be several.
        interrupt: What the log says when Ctrl-C is pressed.
        recompiles: Whether torch logs recompilations.
    """

    processes: int = 1
    kill_at: int = 0
    interrupt: str = ""
    recompiles: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the script's process is needed, as a user's shell would start it."""
        return self == Way()

    def env(self) -> dict[str, str]:
        """Variables that the run needs beside those of this process."""
        killed = {KILL_AT: str(self.kill_at)} if self.kill_at else {}
        return killed | ({"TORCH_LOGS": "recompiles"} if self.recompiles else {})
