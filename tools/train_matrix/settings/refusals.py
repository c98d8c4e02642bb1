"""What cannot work ends with exit code 2 and the reason, before anything is written."""

from __future__ import annotations

import re
import shlex

from ..bench import Bench
from ..checks import MIX
from ..run import Run
from ..setting import setting

COMPARED = "exit code 2, the message names the reason, nothing is written"


def _refusal(name: str, ours: str, reason: str, flags: str = "") -> None:
    @setting(f"refused: {name}", COMPARED)
    def check(bench: Bench) -> str:
        run = bench.refused(f"{flags} {ours}")
        if "unrecognized arguments" in run.log:
            bench.bare(flags)  # tells that the script lacks the flag
        return _check(run, reason)


def _check(run: Run, reason: str) -> str:
    assert run.rc == 2, f"exit code {run.rc}: {run.error} [{run.place.name}]"
    assert "Traceback" not in run.log, f"a traceback: {run.error}"
    assert re.search(reason, run.log), f"no {reason!r} in {run.error!r} [{run.place.name}]"
    assert not run.files, f"wrote {run.files}"
    return run.error


_refusal("--jsd-loss --aug-splits 3", MIX, "jsd-loss|aug-splits", "--jsd-loss --aug-splits 3")
_refusal("--aug-splits 3", MIX, "aug-splits", "--aug-splits 3")
_refusal("--naflex-loader", MIX, "naflex-loader", "--naflex-loader")
_refusal("--torchscript with --merge-r", "--merge-r 2", "torchscript", "--torchscript")
_refusal("--torchscript with --mergemix", "--mergemix 1.0", "torchscript", "--torchscript")
_refusal(
    "a model without tokens, --merge-r",
    "--merge-r 2",
    "ResNet",
    "--model test_resnet --model-kwargs --initial-checkpoint ''",
)
_refusal(
    "Swin, --mergemix",
    "--mergemix 1.0",
    "SwinTransformer",
    "--model swin_tiny_patch4_window7_224 --model-kwargs img_size=32 --initial-checkpoint ''",
)
_refusal("--preference 1 with nothing that mixes", "--preference 1", "preference.*mix")
_refusal(
    "--mergemix-encoder-checkpoint alone", "--mergemix 1.0 --mergemix-encoder-checkpoint x.pth", "mergemix-encoder"
)
_refusal(
    "an encoder that timm lacks", "--mergemix 1.0 --mergemix-encoder no_such_model", "mergemix-encoder.*no_such_model"
)
_refusal("--merge-r nonsense", "--merge-r nonsense", r"--merge-r.*nonsense")
_refusal("--merge-r for another depth", "--merge-r 1,2,3,4", "merge-r")
_refusal("--mergemix -1", "--mergemix -1", "mergemix")
_refusal("--mergemix-prob 2", "--mergemix 1.0 --mergemix-prob 2", "mergemix-prob")
_refusal("--mergemix-layer 7", "--mergemix 1.0 --mergemix-layer 7", "layer")


@setting("refused: a file that is no script of timm's", COMPARED)
def no_script(bench: Bench) -> str:
    return _check(bench.launch(bench.assets.no_script, ["--mergemix", "1.0"]), "no_script.py")


@setting("refused: a folder, a missing file", COMPARED)
def no_file(bench: Bench) -> str:
    _check(bench.launch(bench.assets.images, []), "images")
    return _check(bench.launch(bench.assets.images / "train.py", []), "train.py")


@setting("refused: an old timm in the working directory", COMPARED)
def shadowed(bench: Bench) -> str:
    arguments = ["--data-dir", str(bench.assets.images), *shlex.split(MIX)]
    return _check(bench.launch(bench.script, arguments, place=bench.assets.old_timm), r"timm: got 1\.0\.9")
