"""A pytest plugin: patches what tests build, chooses among them, and writes the outcome of each at once.

``-p tools.peers.plugin --peers-plan FILE``
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from ..rows import write_row
from .patched import Patcher
from .peers import PEERS
from .plan import Plan
from .row import Row
from .timm_tests import model_name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that turns the plugin on."""
    parser.addoption("--peers-plan", type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Starts with the plan."""
    plan = Plan.read(config.getoption("--peers-plan"))
    config.pluginmanager.register(Session(plan, writes=not hasattr(config, "workerinput")))


class Session:
    """The hooks of one run.

    Args:
        plan: What to do.
        writes: Whether this process writes outcomes: pytest-xdist's workers hand theirs to the process that does.
    """

    def __init__(self, plan: Plan, writes: bool) -> None:
        self.plan = plan
        self.peer = PEERS[plan.peer]
        self.writes = writes
        self.patcher = Patcher(plan.side == "patched")
        self.parts: dict[str, Row] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Adapts a test module once it is imported; its classes are collected later."""
        report = yield
        if isinstance(collector, pytest.Module) and report.passed:
            self.peer.adapt(collector.obj, self.patcher)
        return report

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leaves the tests that apply, were chosen and are not done; those of a model in the order of the names."""
        done = set(self.plan.done)
        chosen = [item for item in items if self._chosen(item) and short(item.nodeid) not in done]
        order = {name: place for place, name in enumerate(self.plan.names)}
        chosen.sort(key=lambda item: order.get(model_name(item) or "", -1))
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen

    def _chosen(self, item: pytest.Item) -> bool:
        names = item.name, item.name.split("[")[0], short(item.nodeid)
        return self.peer.wants(item, self.plan.names) and any(
            fnmatch(name, pattern) for name in names for pattern in self.plan.patterns
        )

    def pytest_runtest_setup(self) -> None:
        """Each test begins with the same seed on both sides."""
        torch.manual_seed(0)
        self.patcher.count = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tells how many models there were to patch."""
        report = yield
        report.user_properties.append(("models", self.patcher.count))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes an outcome: that of the call, or of what failed or was skipped in it or around it."""
        if not self.writes:
            return
        row = outcome(self.plan, report)
        if hasattr(report, "context"):  # of a subtest; its test is reported after it, and may have passed nevertheless
            if report.failed or (report.skipped and report.nodeid not in self.parts):
                self.parts[report.nodeid] = row
        elif report.when == "call" or report.outcome != "passed":
            part = self.parts.pop(report.nodeid, row)
            with open(self.plan.out, "a") as file:
                write_row(file, replace(row, outcome=part.outcome, message=part.message))


def outcome(plan: Plan, report: pytest.TestReport) -> Row:
    """The row of a report."""
    models = dict(report.user_properties).get("models", 0)
    message = "" if report.outcome == "passed" else _message(report)
    return Row(
        plan.peer, plan.side, short(report.nodeid), report.outcome, int(str(models)), message, round(report.duration, 2)
    )


def short(nodeid: str) -> str:
    """A test's name without the folders of its file."""
    return nodeid.split("::")[0].rsplit("/")[-1] + nodeid[len(nodeid.split("::")[0]) :]


def _message(report: pytest.TestReport) -> str:
    said = report.longrepr
    if isinstance(said, tuple):  # of a skipped test: file, line, reason
        text = said[2]
    else:
        crash = getattr(said, "reprcrash", None)
        text = crash.message if crash else str(said)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""
