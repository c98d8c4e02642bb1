"""Calls return the results of the library's public functions, and yield while a context is open."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from tools.stress.calls import (
    BASE_R,
    Call,
    crossed_calls,
    finish,
    merging,
    nested,
    reading_calls,
    recording,
    saliency,
    training,
    training_calls,
    uncrossed,
)
from tools.stress.modes import Modes
from tools.tiny import FAMILIES


@pytest.fixture
def model() -> nn.Module:
    return mm.patch(FAMILIES["vit"].build(), BASE_R)


@pytest.fixture
def x() -> Tensor:
    found = FAMILIES["vit"].inputs(0)[0]
    assert isinstance(found, Tensor)
    return found


def out(r: object, x: Tensor, **options: object) -> Tensor:
    with torch.no_grad():
        return mm.patch(FAMILIES["vit"].build(), r, **options)(x)


def test_merging_settings_hold_inside_their_context(model: nn.Module, x: Tensor) -> None:
    first, second, after = finish(merging(model, x, {"r": 0}))
    assert torch.equal(first, out(0, x)) and torch.equal(second, first)
    assert torch.equal(after, out(BASE_R, x))
    assert not torch.equal(first, after)


def test_the_inner_of_two_settings_takes_precedence(model: nn.Module, x: Tensor) -> None:
    inner, outer = finish(nested(model, x))
    assert torch.equal(inner, out(1, x)) and torch.equal(outer, out(0, x))


def test_with_crossed_settings_the_last_entered_holds(model: nn.Module, x: Tensor) -> None:
    both, later, after = finish(uncrossed(model, x))
    assert torch.equal(both, out(1, x)) and torch.equal(later, both)
    assert torch.equal(after, out(BASE_R, x))
    [call] = crossed_calls([x])
    assert call.reference is not None
    assert len(finish(call.run(model))) == 3


def test_a_recording_has_two_forward_passes_of_three_blocks(model: nn.Module, x: Tensor) -> None:
    found = finish(recording(model, x, {"r": 1}))
    outputs, parts = found[:3], found[3:]
    assert len(parts) == 2 * 3 * 3
    assert parts[1].shape[1] == 17 - 1
    assert torch.equal(outputs[0], outputs[2])


def test_saliency_equals_that_of_the_library(model: nn.Module, x: Tensor) -> None:
    [found] = finish(saliency(model, x, {"r": 1, "layer": 0}))
    assert torch.equal(found, mm.saliency_map(model, x, r=1, layer=0))


def test_training_writes_no_gradients(model: nn.Module, x: Tensor) -> None:
    _, gradients = finish(training(model, x, Modes()))
    assert gradients.any()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_every_call_yields_and_is_reproducible(model: nn.Module, x: Tensor) -> None:
    calls: list[Call] = [*reading_calls([x], 0), *training_calls([x], 0, Modes())]
    kinds = {"inference", "merging", "merging, nested", "record", "saliency", "mix", "training", "preference"}
    assert {call.kind for call in calls} == kinds
    for call in calls:
        next(call.run(deepcopy(model)))
        first, second = (finish(call.run(deepcopy(model))) for _ in range(2))
        assert all(map(torch.equal, first, second)), call


def test_padded_batches_have_no_saliency() -> None:
    inputs = FAMILIES["naflex"].inputs(0)
    kinds = [call.kind for call in reading_calls(inputs[-1:], 0)]
    assert "record" in kinds and "saliency" not in kinds and "mix" not in kinds
