"""Every model is reported as right, refused, not plain or failed, whatever happens during its checks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from tools.census import examine as examining
from tools.census.examine import examine


def test_a_supported_model_is_right() -> None:
    row = examine("test_vit")
    assert (row.status, row.cls, row.failures) == ("right", "VisionTransformer", {})


def test_a_model_of_another_architecture_is_not_plain() -> None:
    row = examine("test_resnet")
    assert (row.status, row.cls) == ("not plain", "ResNet")


def test_a_plain_model_without_a_family_is_refused_with_the_reason() -> None:
    row = examine("convit_tiny")
    assert row.status == "refused" and "GPSA" in row.reason and not row.failures


def test_a_name_that_timm_cannot_build_is_refused() -> None:
    row = examine("no_such_model")
    assert row.status == "refused" and row.reason.startswith("timm cannot build it: ")


def test_a_model_that_cannot_be_made_small_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "shrink", lambda name, full: 1 / 0)
    row = examine("test_vit")
    assert row.status == "failed" and row.failures == {"build": "ZeroDivisionError: division by zero"}


def test_tokens_that_do_not_merge_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    patch = mm.patch
    monkeypatch.setattr(examining.mm, "patch", lambda model, r: patch(model, 0))
    row = examine("test_vit")
    assert row.status == "failed" and "same as unmerged" in row.failures["image: merged"]


def test_a_forward_pass_that_changes_without_merging_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    patch = mm.patch

    def broken(model: nn.Module, r: int) -> nn.Module:
        with torch.no_grad():
            model.norm.bias.add_(0.01)
        return patch(model, r)

    monkeypatch.setattr(examining.mm, "patch", broken)
    row = examine("test_vit")
    assert row.status == "failed" and "fp32 differs" in row.failures["image: r=0"]
    assert "output differs" in row.failures["image: unpatch"]
