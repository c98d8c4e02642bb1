"""Each tiny model merges, takes its declared inputs, and is reproducible."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from tools.census.inputs import tensor
from tools.tiny import CLASSES, FAMILIES, compiled, families


@pytest.mark.parametrize("name", families())
def test_each_family_merges_on_each_of_its_inputs(name: str) -> None:
    family = FAMILIES[name]
    model = family.build()
    for x in family.inputs(0):
        plain = tensor(model(x))
        assert plain.shape == (2, CLASSES)
        with mm.merging(model, 2):
            assert not torch.allclose(tensor(model(x)), plain, rtol=1e-3)


@pytest.mark.parametrize("name", ["vit", "torchvision", "held", "naflex"])
def test_models_are_reproducible_and_inputs_differ_by_seed(name: str) -> None:
    family = FAMILIES[name]
    one, other = family.build().state_dict(), family.build().state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for x, y, again in zip(family.inputs(0), family.inputs(1), family.inputs(0), strict=True):
        x, y, again = (value if isinstance(value, torch.Tensor) else value["patches"] for value in (x, y, again))
        assert torch.equal(x, again)
        assert not torch.equal(x, y)


def test_no_family_has_dropout() -> None:
    for name, family in families().items():
        model, x = family.build().train(), family.inputs(0)[0]
        trained = tensor(model(x))
        assert torch.allclose(trained, tensor(model.eval()(x)), atol=1e-5), name


def test_families_are_selected_by_name() -> None:
    assert list(families("vit")) == ["vit"]
    assert {"vit", "vit, compiled"} < set(families("vit*"))
    assert not families("no such")


def test_the_checkpointed_family_is_checkpointed() -> None:
    assert FAMILIES["vit, checkpointing"].build().grad_checkpointing


def test_a_compiled_model_gives_the_same_output() -> None:
    model, x = FAMILIES["vit"].build(), FAMILIES["vit"].inputs(0)[0]
    wrapped = compiled(model)
    assert wrapped._orig_mod is model
    assert torch.allclose(wrapped(x), model(x), atol=1e-5)
