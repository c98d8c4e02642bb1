"""Passes of a model are reproducible and leave no gradients behind."""

from __future__ import annotations

import pytest
import torch

from tools.census.inputs import images
from tools.census.passes import Plain, gradients, run, run_mixed
from tools.require import CheckError

from .made import small


def test_plain_holds_the_output_the_tokens_and_the_gradients() -> None:
    model = small()
    x = images(model)
    plain = Plain(model, x)
    assert torch.equal(plain.out, run(model, x)) and torch.equal(plain.mixed, run_mixed(model, x))
    assert plain.tokens == 16 + model.num_prefix_tokens
    assert plain.gradients.keys() == dict(model.named_parameters()).keys()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mixed_precision_differs_from_full_precision() -> None:
    model = small()
    x = images(model)
    assert not torch.equal(run_mixed(model, x).float(), run(model, x))
    assert not torch.is_autocast_enabled("cpu")


def test_gradients_are_reproducible() -> None:
    model = small()
    first, second = (gradients(model, images(model)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_outputs_that_are_not_finite_are_found() -> None:
    model = small()
    torch.nn.init.constant_(model.norm.bias, float("nan"))
    with pytest.raises(CheckError, match="not finite"):
        Plain(model, images(model))
