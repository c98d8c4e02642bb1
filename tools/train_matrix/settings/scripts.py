"""validate.py and benchmark.py, where they lie beside train.py."""

from __future__ import annotations

import json
import re
import shlex

from ..bench import Bench
from ..checks import MIX, says
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
    assert losses and accuracies, f"no result in the log [{run.place.name}]"
    return float(losses[-1]), float(accuracies[-1])


def _agrees(found: tuple[float, float], trained: Run) -> None:
    last = trained.rows[-1]
    wanted = last["eval_loss"], last["eval_top1"]
    assert abs(found[0] - wanted[0]) <= 1e-4 and abs(found[1] - wanted[1]) <= 1e-3, f"{found}, wanted {wanted}"


@setting("validate.py --merge-r 2", "loss (4 digits) and accuracy equal those of train.py's merged validation")
def merged(bench: Bench) -> str:
    _validated(bench, bench.bare(), "", hooked=False)
    found = _validated(bench, bench.hooked(MIX), "--merge-r 2")
    _agrees(found, bench.hooked(MIX))
    unmerged = _validated(bench, bench.hooked(MIX), "")
    assert unmerged[0] != found[0], f"loss {found[0]}, also without --merge-r"
    return f"loss {found[0]}, unmerged {unmerged[0]}"


@setting(
    "validate.py", "loss (4 digits) and accuracy equal those of train.py's unmerged validation, and bare validate.py's"
)
def unmerged(bench: Bench) -> str:
    trained = bench.hooked(f"{MIX} --no-merge-eval")
    bare = _validated(bench, trained, "", hooked=False)
    for ours in ("", "--merge-r 0"):
        found = _validated(bench, trained, ours)
        assert found == bare, f"{found}, bare {bare}"
        _agrees(found, trained)
    return f"loss {bare[0]}"


@setting("validate.py --amp, --torchcompile eager", "loss with --merge-r 2 within 0.02 of float32's")
def merged_beside(bench: Bench) -> None:
    wanted, _ = _validated(bench, bench.hooked(MIX), "--merge-r 2")
    for flags in ("--amp --amp-dtype bfloat16", "--torchcompile eager", "--channels-last"):
        _validated(bench, bench.hooked(MIX), flags, hooked=False)
        loss, _ = _validated(bench, bench.hooked(MIX), f"{flags} --merge-r 2")
        assert abs(loss - wanted) < 0.02, f"{flags}: loss {loss}, wanted {wanted}"


@setting(
    "benchmark.py --merge-r 2",
    "inference and training run; the log has the tokens; results have bare's keys and parameter count",
)
def benchmark(bench: Bench) -> None:
    flags = "-b 4 --num-warm-iter 1 --num-bench-iter 5 --bench both"
    bare, hooked = _results(bench, flags, hooked=False), _results(bench, f"{flags} --merge-r 2", hooked=True)
    assert hooked.keys() == bare.keys(), f"results {sorted(hooked)}, wanted {sorted(bare)}"
    assert hooked["param_count"] == bare["param_count"], f"{hooked['param_count']} parameters"
    assert hooked["infer_samples_per_sec"] > 0 and hooked["train_samples_per_sec"] > 0, hooked
    says(bench.sibling("benchmark.py", f"{flags} --merge-r 2", hooked=True), "17, 15, 13, 11")


def _results(bench: Bench, flags: str, hooked: bool) -> dict[str, float]:
    found = bench.sibling("benchmark.py", flags, hooked=hooked).log.split("--result\n")
    return json.loads(found[-1])
