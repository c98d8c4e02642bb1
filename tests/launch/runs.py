"""Runs the stand-in scripts as the launcher does, and as a user without it would."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path
from unittest import mock

import torch

from timm_mergemix.launch.script import run_script

SCRIPTS = Path(__file__).parent / "scripts"
TRAINING = ("train_old.py", "train_new.py")
TINY = ["--model-kwargs", "img_size=32", "patch_size=8", "depth=3", "embed_dim=48", "num_heads=3"]


def launch(script: str, out: Path, *flags: str) -> list[dict[str, float]]:
    """Runs a training script with the launcher; returns its summary, one line an epoch."""
    run_script(SCRIPTS / script, [*TINY, "--output", str(out), *flags])
    return summary(out)


def bare(script: str, out: Path, *flags: str) -> list[dict[str, float]]:
    """Runs a training script without the launcher."""
    argv = [str(SCRIPTS / script), *TINY, "--output", str(out), *flags]
    with mock.patch.object(sys, "argv", argv), mock.patch.object(sys, "path", [str(SCRIPTS), *sys.path]):
        runpy.run_path(argv[0], run_name="__main__")
    return summary(out)


def summary(out: Path) -> list[dict[str, float]]:
    with (out / "summary.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def state_dict(out: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(out / f"checkpoint-{epoch}.pth.tar")["state_dict"]
