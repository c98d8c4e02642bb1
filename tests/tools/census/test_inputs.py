"""Inputs fit the models, and padding is marked as such."""

from __future__ import annotations

import pytest
import torch

from tools.census.inputs import alone, images, inputs, padded, tensor

from .made import small


@pytest.mark.parametrize(
    ("name", "cases"), [("test_vit", ["image"]), ("naflexvit_base_patch16_gap", ["image", "padded"])]
)
def test_only_models_that_take_padded_batches_get_one(name: str, cases: list[str]) -> None:
    assert list(inputs(small(name))) == cases


def test_the_second_sample_is_padded() -> None:
    x = padded(small("naflexvit_base_patch16_gap"))
    assert x["patch_valid"].sum(dim=1).tolist() == [16, 12]
    assert x["patches"][1, -4:].abs().sum() == 0
    assert alone(x, 1)["patches"].shape == (1, *x["patches"].shape[1:])


def test_images_are_reproducible() -> None:
    model = small()
    assert torch.equal(images(model), images(model))


def test_outputs_of_any_structure_become_one_tensor() -> None:
    parts = torch.ones(2, 3), torch.zeros(4)
    for output in (parts, list(parts), dict(enumerate(parts))):
        assert tensor(output).tolist() == [1.0] * 6 + [0.0] * 4
    assert tensor(parts[0]) is parts[0]
