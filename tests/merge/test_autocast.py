"""Autocast is switched off for a while, or goes on without its cache."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix.merge.autocast import uncached_autocast, without_autocast


def state() -> tuple[bool, torch.dtype, bool]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()


@pytest.mark.parametrize("enabled", [True, False])
def test_autocast_is_off_inside_and_as_before_after(enabled: bool) -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        before = state()
        with without_autocast("cpu"):
            assert (x @ x).dtype == torch.float32
        assert state() == before
        assert (x @ x).dtype == (torch.bfloat16 if enabled else torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_callers_autocast_goes_on_without_its_cache(enabled: bool, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype, enabled=enabled):
        before = state()
        assert before == (enabled, dtype, True)
        with uncached_autocast("cpu"):
            assert state() == (enabled, dtype, False)
        assert state() == before


def test_a_device_without_autocast_is_left_alone() -> None:
    before = state()
    for context in (without_autocast, uncached_autocast):
        with context("meta"):
            assert torch.ones(2, device="meta").device.type == "meta"
            assert state() == before
