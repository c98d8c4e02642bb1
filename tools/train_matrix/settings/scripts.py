"""validate.py and benchmark.py, if they are beside train.py."""

from __future__ import annotations

import json
import re
import shlex

from ...require import require
from ..bench import Bench
from ..checks import says
from ..flags import MERGE, MERGED, MIX, VALIDATED_UNMERGED
from ..run import Run
from ..setting import setting


def _validated(bench: Bench, trained: Run, ours: str, hooked: bool = True) -> tuple[float, float]:
    """Loss and top-1 accuracy that validate.py finds for the newest checkpoint."""
    checkpoint = shlex.quote(str(trained.output / "last.pth.tar"))
    images = shlex.quote(str(bench.assets.images))
    flags = f"--data-dir {images} --checkpoint {checkpoint} -j 1 -b 8 --log-freq 1 {ours}"
    run = bench.sibling("validate.py", flags, hooked=hooked)
    losses = re.findall(r"Loss: +[\d.]+ \( *([\d.]+)\)", run.log)
    accuracies = re.findall(r"\* Acc@1 ([\d.]+)", run.log)
    require(losses and accuracies, f"no result in the log [{run.place.name}]")
    return float(losses[-1]), float(accuracies[-1])


def _agrees(found: tuple[float, float], trained: Run) -> None:
    last = trained.rows[-1]
    wanted = last["eval_loss"], last["eval_top1"]
    require(abs(found[0] - wanted[0]) <= 1e-4 and abs(found[1] - wanted[1]) <= 1e-3, f"{found}, wanted {wanted}")


@setting(f"validate.py {MERGED}")
def merged(bench: Bench) -> str:
    """Loss (4 digits) and accuracy equal those of train.py's merged validation."""
    _validated(bench, bench.bare(), "", hooked=False)
    found = _validated(bench, bench.hooked(MIX), MERGED)
    _agrees(found, bench.hooked(MIX))
    unmerged = _validated(bench, bench.hooked(MIX), "")
    require(unmerged[0] != found[0], f"loss {found[0]}, also unmerged")
    return f"loss {found[0]}, unmerged {unmerged[0]}"


@setting("validate.py")
def unmerged(bench: Bench) -> str:
    """Loss (4 digits) and accuracy equal those of train.py's unmerged validation, and bare validate.py's."""
    trained = bench.hooked(f"{MIX} {VALIDATED_UNMERGED}")
    bare = _validated(bench, trained, "", hooked=False)
    for ours in ("", f"{MERGE} 0"):
        found = _validated(bench, trained, ours)
        require(found == bare, f"{found}, bare {bare}")
        _agrees(found, trained)
    return f"loss {bare[0]}"


@setting("validate.py --amp, --torchcompile eager")
def merged_beside(bench: Bench) -> None:
    """The merged loss is within 0.02 of float32's."""
    wanted, _ = _validated(bench, bench.hooked(MIX), MERGED)
    for flags in ("--amp --amp-dtype bfloat16", "--torchcompile eager", "--channels-last"):
        _validated(bench, bench.hooked(MIX), flags, hooked=False)
        loss, _ = _validated(bench, bench.hooked(MIX), f"{flags} {MERGED}")
        require(abs(loss - wanted) < 0.02, f"{flags}: loss {loss}, wanted {wanted}")


@setting(f"benchmark.py {MERGED}")
def benchmark(bench: Bench) -> None:
    """Inference and training run; the log has the tokens; results have bare's keys and parameter count."""
    flags = "-b 4 --num-warm-iter 1 --num-bench-iter 5 --bench both"
    bare, hooked = _results(bench, flags, hooked=False), _results(bench, f"{flags} {MERGED}", hooked=True)
    require(hooked.keys() == bare.keys(), f"results {sorted(hooked)}, wanted {sorted(bare)}")
    require(hooked["param_count"] == bare["param_count"], f"{hooked['param_count']} parameters")
    require(hooked["infer_samples_per_sec"] > 0 and hooked["train_samples_per_sec"] > 0, hooked)
    says(bench.sibling("benchmark.py", f"{flags} {MERGED}", hooked=True), "17, 15, 13, 11")


def _results(bench: Bench, flags: str, hooked: bool) -> dict[str, float]:
    found = bench.sibling("benchmark.py", flags, hooked=hooked).log.split("--result\n")
    return json.loads(found[-1])
