"""``make test-timm-oldest`` installs the lower bounds of all requirements."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Extras that the oldest environment does not install, or whose packages are part of another extra (viz of demo).
UNPINNED = ("compare", "completion", "dev", "docs", "recipes", "testing", "viz", "vlm", "vlm-demo")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_pins_are_the_lower_bounds_of_all_requirements():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [entries for extra, entries in project["optional-dependencies"].items() if extra not in UNPINNED]
    wanted = sum(extras, start=project["dependencies"])
    pins = subprocess.run(["make", "--silent", "oldest-pins"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(pins.stdout.split()) == sorted(entry.replace(">=", "==") for entry in wanted)
