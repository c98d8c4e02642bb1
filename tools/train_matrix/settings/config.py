"""YAML."""

from __future__ import annotations

import shlex

import yaml

from ..bench import Bench
from ..checks import same, says, trains
from ..setting import setting

OURS = {"mergemix": 1.0, "merge_r": "decreasing:2", "merge_eval": False, "preference": 0.5, "mergemix_r": [1, 1, 1]}
FLAGS = "--mergemix 1.0 --merge-r decreasing:2 --no-merge-eval --preference 0.5 --mergemix-r 1,1,1"


def _config(bench: Bench, name: str, keys: dict[str, object]) -> str:
    path = bench.work / name
    path.write_text(yaml.safe_dump(keys))
    return f"--config {shlex.quote(str(path))}"


@setting("YAML --config", "summary.csv and our keys in args.yaml equal those of the same flags")
def from_config(bench: Bench) -> str:
    hooked, flagged = bench.hooked(_config(bench, "ours.yaml", dict(OURS))), bench.hooked(FLAGS)
    saved, wanted = (yaml.safe_load((run.output / "args.yaml").read_text()) for run in (hooked, flagged))
    ours = [key for key in wanted if key.startswith(("merge", "preference"))]
    assert len(ours) >= 15, f"args.yaml has {ours}"
    assert all(saved[key] == wanted[key] for key in ours), f"args.yaml has {saved}"
    return same(hooked, flagged, list(hooked.rows[0]))


@setting("args.yaml", "a run from args.yaml alone gives the same summary.csv, to the digit")
def from_args(bench: Bench) -> str:
    flagged = bench.hooked(FLAGS)
    again = bench.hooked(f"--config {shlex.quote(str(flagged.output / 'args.yaml'))}", base="")
    return same(again, flagged, list(flagged.rows[0]))


@setting("a YAML key that is none", "trains; the log warns of it")
def unknown_key(bench: Bench) -> None:
    hooked = trains(bench, ours=_config(bench, "typo.yaml", {"mergemix": 1.0, "mergemix_probability": 0.5}))
    says(hooked, "mergemix_probability")
