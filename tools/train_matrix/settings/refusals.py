"""Invalid settings end with exit code 2 and the reason before anything is written."""

from __future__ import annotations

import re
import shlex

from ...require import require
from ..bench import Bench
from ..flags import ENCODER, ENCODER_WEIGHTS, LAYER, MERGE, MERGED, MIX, MIXED, MIXING, PREFERENCE, SHARE
from ..run import Run
from ..setting import setting


def _refusal(name: str, ours: str, reason: str, flags: str = "") -> None:
    @setting(f"refused: {name}")
    def check(bench: Bench) -> str:
        """Exit code 2, the message names the reason, nothing is written."""
        run = bench.refused(f"{flags} {ours}")
        if "unrecognized arguments" in run.log:
            bench.bare(flags)  # this means that the script lacks the flag
        return _check(run, reason)


def _check(run: Run, reason: str) -> str:
    require(run.rc == 2, f"exit code {run.rc}: {run.error} [{run.place.name}]")
    require("Traceback" not in run.log, f"a traceback: {run.error}")
    require(re.search(reason, run.log), f"no {reason!r} in {run.error!r} [{run.place.name}]")
    require(not run.files, f"wrote {run.files}")
    return run.error


_refusal("--jsd-loss --aug-splits 3", MIX, "jsd-loss|aug-splits", "--jsd-loss --aug-splits 3")
_refusal("--aug-splits 3", MIX, "aug-splits", "--aug-splits 3")
_refusal("--naflex-loader", MIX, "naflex-loader", "--naflex-loader")
_refusal(f"--torchscript with {MERGE}", MERGED, "torchscript", "--torchscript")
_refusal(f"--torchscript with {MIXING}", MIXED, "torchscript", "--torchscript")
_refusal(
    f"a model without tokens, {MERGE}",
    MERGED,
    "ResNet",
    "--model test_resnet --model-kwargs --initial-checkpoint ''",
)
_refusal(
    f"Swin, {MIXING}",
    MIXED,
    "SwinTransformer",
    "--model swin_tiny_patch4_window7_224 --model-kwargs img_size=32 --initial-checkpoint ''",
)
_refusal(f"{PREFERENCE} 1 with nothing that mixes", f"{PREFERENCE} 1", "preference.*mix")
_refusal(f"{ENCODER_WEIGHTS} alone", f"{MIXED} {ENCODER_WEIGHTS} x.pth", ENCODER)
_refusal("an encoder that timm lacks", f"{MIXED} {ENCODER} no_such_model", f"{ENCODER}.*no_such_model")
_refusal(f"{MERGE} nonsense", f"{MERGE} nonsense", f"{MERGE}.*nonsense")
_refusal(f"{MERGE} for another depth", f"{MERGE} 1,2,3,4", MERGE)
_refusal(f"{MIXING} -1", f"{MIXING} -1", "mergemix")
_refusal(f"{SHARE} 2", f"{MIXED} {SHARE} 2", SHARE)
_refusal(f"{LAYER} 7", f"{MIXED} {LAYER} 7", "layer")


@setting("refused: a file that is not a script of timm")
def no_script(bench: Bench) -> str:
    """Exit code 2, the message names the reason, nothing is written."""
    return _check(bench.launch(bench.assets.no_script, shlex.split(MIXED)), "no_script.py")


@setting("refused: a folder, a missing file")
def no_file(bench: Bench) -> str:
    """Exit code 2, the message names the reason, nothing is written."""
    _check(bench.launch(bench.assets.images, []), "images")
    return _check(bench.launch(bench.assets.images / "train.py", []), "train.py")


@setting("refused: an old timm in the working directory")
def shadowed(bench: Bench) -> str:
    """Exit code 2, the message names the reason, nothing is written."""
    arguments = ["--data-dir", str(bench.assets.images), *shlex.split(MIX)]
    return _check(bench.launch(bench.script, arguments, place=bench.assets.old_timm), r"timm: got 1\.0\.9")
