"""The options of all commands are known without importing torch or timm, so help and typos are answered at once."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module

import pytest

from timm_mergemix.cli.arguments import COMMANDS, add_demo

HEAVY = {"torch", "timm", "torchvision", "numpy", "matplotlib", "sklearn", "transformers"}
ANSWERED_AT_ONCE = [
    [],
    ["--help"],
    ["--version"],
    ["trian"],
    *([name, "--help"] for name in COMMANDS),
    ["train", "--data", "d", "--model", "m", "--epochz", "3"],
    ["train", "--data", "d", "--model", "m", "--mixer", "mixdown"],
    ["train", "--data", "d", "--model", "m", "--merge-r", "keep:2"],
    ["show", "--what", "mixes"],
    ["tune", "fast"],
    ["launch", "no/such/train.py"],
]
SCRIPT = """
import json, sys
from timm_mergemix.cli.main import main
codes = [main(argv) for argv in json.loads(sys.argv[1])]
print()
print(json.dumps({"codes": codes, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def test_help_and_typos_import_neither_torch_nor_timm() -> None:
    """All in one process: what any of them imports stays."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(ANSWERED_AT_ONCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    asked = [{"--help", "--version"} & set(argv) for argv in ANSWERED_AT_ONCE]
    assert found["codes"] == [0 if each else 2 for each in asked]
    assert not HEAVY & set(found["modules"])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_module_that_runs_it(name: str) -> None:
    command = import_module(f"timm_mergemix.cli.{name}")
    assert callable(command.run)
    assert COMMANDS[name].summary.endswith(".")


def test_the_demo_has_a_default_for_everything() -> None:
    parser = argparse.ArgumentParser()
    add_demo(parser)
    assert parser.parse_args([]).preference is None
    assert parser.parse_args(["--preference"]).preference == 1.0
