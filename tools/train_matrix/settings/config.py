"""YAML."""

from __future__ import annotations

import shlex

import yaml

from timm_mergemix.launch.flags import FLAGS, dest

from ...require import require
from ..bench import Bench
from ..checks import same, says, trains
from ..flags import CONFIG, CONFIG_FLAGS, UNKNOWN_KEY
from ..setting import setting


def _config(bench: Bench, name: str, keys: dict[str, object]) -> str:
    path = bench.work / name
    path.write_text(yaml.safe_dump(keys))
    return f"--config {shlex.quote(str(path))}"


@setting("YAML --config")
def from_config(bench: Bench) -> str:
    """The summary.csv and our keys in args.yaml equal those of the same flags."""
    hooked, flagged = bench.hooked(_config(bench, "ours.yaml", dict(CONFIG))), bench.hooked(CONFIG_FLAGS)
    saved, wanted = (yaml.safe_load((run.output / "args.yaml").read_text()) for run in (hooked, flagged))
    ours = sorted({dest(name) for name in FLAGS} & set(wanted))
    require(len(ours) >= 20, f"args.yaml has {ours}")
    require(all(saved[key] == wanted[key] for key in ours), f"args.yaml has {saved}")
    return same(hooked, flagged, list(hooked.rows[0]))


@setting("args.yaml")
def from_args(bench: Bench) -> str:
    """A run from args.yaml alone gives the same summary.csv, to the digit."""
    flagged = bench.hooked(CONFIG_FLAGS)
    again = bench.hooked(f"--config {shlex.quote(str(flagged.output / 'args.yaml'))}", base="")
    return same(again, flagged, list(flagged.rows[0]))


@setting("an unknown YAML key")
def unknown_key(bench: Bench) -> None:
    """Trains; the log warns of it."""
    hooked = trains(bench, ours=_config(bench, "typo.yaml", {"mergemix": CONFIG["mergemix"], UNKNOWN_KEY: 0.5}))
    says(hooked, UNKNOWN_KEY)
