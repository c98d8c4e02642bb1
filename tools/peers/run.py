"""Runs pytest once on the test files of a package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from ..require import require
from .peers import PEERS
from .plan import Plan

# exit codes: all passed, some failed, none were collected
ENDED = (0, 1, 5)
# a line of pytest's summary about a file, not about a test in it
NOT_IMPORTED = re.compile(r"^ERROR ([^:\s]+)(?: - |$)", re.MULTILINE)


def run(plan: Plan, tests: Path, work: Path, jobs: int) -> None:
    """Runs all tests of a plan; their output goes to a log in ``work``.

    Args:
        plan: The settings of the run.
        tests: The folder of the package's tests.
        work: A folder for the plan and the log.
        jobs: Number of processes, with one thread each.

    Raises:
        CheckError: If pytest itself fails.
    """
    work.mkdir(parents=True, exist_ok=True)
    plan_file, log = work / f"{plan.peer}_{plan.side}.json", work / f"{plan.peer}_{plan.side}.log"
    plan.write(plan_file)
    (work / "pytest.ini").write_text("[pytest]\n")
    files = [str(tests / name) for name in PEERS[plan.peer].files if (tests / name).is_file()]
    require(files, f"{tests} has none of {', '.join(PEERS[plan.peer].files)}")
    options = ["-q", "-W", "ignore", "-p", "no:cacheprovider", "-p", "tools.peers.plugin", "-n", str(jobs)]
    command = [*options, "--peers-plan", str(plan_file), "-c", str(work / "pytest.ini"), "--rootdir", str(tests)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *command, *files], env=variables, stdout=file, stderr=subprocess.STDOUT
        )
    require(done.returncode in ENDED, f"pytest ended with {done.returncode}, see {log}")
    broken = NOT_IMPORTED.findall(log.read_text(errors="replace"))
    require(not broken, f"could not be imported: {', '.join(broken)}, see {log}")
