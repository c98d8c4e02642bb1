"""`timm-mergemix tune`: budgets, the table, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from timm_mergemix.cli import tune as module
from timm_mergemix.cli.main import main
from timm_mergemix.tune.search import Tuned


@pytest.mark.parametrize(("target", "budget"), [("2.0x", {"speedup": 2.0}), ("99", {"tokens": 99})])
def test_tuning(
    target: str, budget: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tune_r(model: Any, **options: Any) -> list[Tuned]:
        assert budget.items() <= options.items()
        return [Tuned(13, 2.0, (197, 184), 0.95), Tuned(("decreasing", 20), 2.1, (197, 160), 0.9)]

    monkeypatch.setattr(module, "tune_r", tune_r)
    assert main(["tune", target, "--model", "test_vit"]) == 0
    printed = capsys.readouterr().out
    assert "2.00x" in printed
    assert "('decreasing', 20)" in printed
    assert "random weights" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["fast"], "argument BUDGET: got 'fast', wanted a throughput"),
        (["1", "--model", "test_vit"], "timm-mergemix tune: BUDGET: "),
        (["2x", "--model", "test_vitt"], "--model: got 'test_vitt'"),
        (["2x", "--model", "test_resnet", "--img-size", "64"], "--model: test_resnet cannot be built"),
        (["2x", "--model", "test_vit", "--img-size", "33"], "--model: test_vit cannot be built, or does not"),
    ],
)
def test_bad_input(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *flags]) == 2
    assert message in capsys.readouterr().err
