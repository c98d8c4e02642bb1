"""What a patched model costs an accelerator: the host waits for nothing, and a merging block launches few kernels."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from benchmarks.gpu.counting import Counts, count
from timm_mergemix.merge.matching.choose import MATCHINGS

from ..models import images, tiny, tiny_torchvision

# Kernels of a block, with one for a fused attention: forward, and forward and backward.
PLAIN = (10, 31)
MOST = {"bipartite": (30, 57), "kth": (33, 60), "random": (31, 59), "pitome": (39, 66)}
# Before torch 2.9 CUDA has no single kernel that brings keys to one length.
OLDER = 0 if hasattr(torch.ops.aten, "_fused_rms_norm_backward") else 2


def counted(depth: int, matching: str | None, backward: bool) -> Counts:
    model = tiny(depth=depth).to("meta")
    if matching is not None:
        mm.patch(model, 2, matching=matching)
    x = images(model).to("meta")
    with torch.set_grad_enabled(backward):
        return count(lambda: model(x).sum().backward() if backward else model(x))


def of_a_block(matching: str | None, backward: bool) -> int:
    """Of the last but one: what is left out of the last one, or comes with the model, is in both counts."""
    return counted(4, matching, backward).launched - counted(3, matching, backward).launched


@pytest.mark.parametrize("backward", [False, True])
def test_a_plain_block(backward: bool) -> None:
    assert of_a_block(None, backward) == PLAIN[backward]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("backward", [False, True])
def test_a_merging_block(matching: str, backward: bool) -> None:
    assert of_a_block(matching, backward) <= MOST[matching][backward] + OLDER


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("backward", [False, True])
def test_no_pass_waits_or_copies_a_mask(matching: str, backward: bool) -> None:
    counts = counted(3, matching, backward)
    assert counts.synchronisations == 0 and not counts.copies
    assert counts.copied_masks == 0


@pytest.mark.parametrize("make", [tiny, tiny_torchvision])
def test_merged_tokens_that_come_back(make: object) -> None:
    model = mm.patch(make(), 2).to("meta")
    x = images(model).to("meta")
    call = model.forward_features if hasattr(model, "forward_features") else model
    assert count(lambda: call(x)).synchronisations == 0


def test_the_map_is_left_out_where_nobody_reads_it() -> None:
    model = mm.patch(tiny().to("meta"), 2)
    x = images(model).to("meta")
    with torch.no_grad():
        without, mapped = count(lambda: model(x)), count(lambda: model.forward_features(x))
    assert without.kernels["scatter_"] == 0 < mapped.kernels["scatter_"]
