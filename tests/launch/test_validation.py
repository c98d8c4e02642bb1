"""Validation between epochs merges as it was asked to, averages of weights too, and leaves the model as it was."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import timm
from timm.utils import ModelEmaV3

from timm_mergemix import merge_info, patch
from timm_mergemix.launch.run import Run
from timm_mergemix.launch.validation import run_validation

from .made import ask, running, tiny


def make_run(*flags: str) -> tuple[Run, Any]:
    run, model = running(ask(*flags)), tiny()
    if run.request.merge is not None:
        patch(model, r=run.request.merge.r)
    return run, model


@pytest.mark.parametrize(
    ("flags", "r", "line"),
    [(["--merge-eval"], 2, "runs merged, r=2"), ([], 2, "runs merged, r=2"), (["--no-merge-eval"], 0, "runs unmerged")],
)
@pytest.mark.parametrize("average", [False, True])
def test_validation_is_merged_or_not_as_asked(
    flags: list[str], r: int, line: str, average: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run, model = make_run("--merge-r", "2", *flags)
    model = ModelEmaV3(model) if average else model
    suffix = " (EMA)" if average else ""
    with caplog.at_level(logging.INFO):
        inside = run_validation(run, lambda model, **_: merge_info(model).r, model, log_suffix=suffix)
    assert inside == r
    assert f"Validation{suffix} {line}" in caplog.text
    assert merge_info(model).r == 2


def test_without_merging_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    run, _ = make_run("--no-merge-eval")
    resnet = timm.create_model("test_resnet")
    with caplog.at_level(logging.INFO):
        assert run_validation(run, lambda model: model, resnet) is resnet
    assert caplog.text == ""


def test_one_process_speaks(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    run, model = make_run("--merge-r", "2")
    monkeypatch.setenv("RANK", "1")
    with caplog.at_level(logging.INFO):
        run_validation(run, lambda model: None, model)
    assert caplog.text == ""
