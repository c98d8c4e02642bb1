"""A pytest plugin that selects tests, patches the models that they build, and writes each outcome immediately.

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
    """Reads the plan and registers the hooks."""
    plan = Plan.read(config.getoption("--peers-plan"))
    config.pluginmanager.register(Session(plan, writes=not hasattr(config, "workerinput")))


class Session:
    """The hooks of one run.

    Args:
        plan: The settings of the run.
        writes: Whether this process writes outcomes; workers of pytest-xdist send theirs to the process that does.
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
        """Adapts a test module after its import, before its classes are collected."""
        report = yield
        if isinstance(collector, pytest.Module) and report.passed:
            self.peer.adapt(collector.obj, self.patcher)
        return report

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keeps the tests that apply, are chosen and are not done; tests of models run in the order of the names."""
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
        """Seeds each test alike on both sides."""
        torch.manual_seed(0)
        self.patcher.count = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Adds the number of models that can be patched to the report."""
        report = yield
        report.user_properties.append(("models", self.patcher.count))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes the outcome of a test: of its call, or of the phase that failed or was skipped."""
        if not self.writes:
            return
        row = outcome(self.plan, report)
        if hasattr(report, "context"):  # a subtest; its test is reported later and may still have passed
            if report.failed or (report.skipped and report.nodeid not in self.parts):
                self.parts[report.nodeid] = row
        elif report.when == "call" or report.outcome != "passed":
            part = self.parts.pop(report.nodeid, row)
            with open(self.plan.out, "a") as file:
                write_row(file, replace(row, outcome=part.outcome, message=part.message))


def outcome(plan: Plan, report: pytest.TestReport) -> Row:
    """Converts a report to a row."""
    models = dict(report.user_properties).get("models", 0)
    message = "" if report.outcome == "passed" else _message(report)
    return Row(
        plan.peer, plan.side, short(report.nodeid), report.outcome, int(str(models)), message, round(report.duration, 2)
    )


def short(nodeid: str) -> str:
    """Returns a test's name without the folders of its file."""
    return nodeid.split("::")[0].rsplit("/")[-1] + nodeid[len(nodeid.split("::")[0]) :]


def _message(report: pytest.TestReport) -> str:
    said = report.longrepr
    if isinstance(said, tuple):  # for a skipped test: file, line, reason
        text = said[2]
    else:
        crash = getattr(said, "reprcrash", None)
        text = crash.message if crash else str(said)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""
