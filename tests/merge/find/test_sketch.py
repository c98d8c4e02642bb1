"""Models without values."""

import pytest
import timm
import torch
from torch import nn

from timm_mergemix.merge.find.sketch import sketch

from ...models import tiny


def devices(model: nn.Module) -> set[str]:
    return {tensor.device.type for tensor in (*model.parameters(), *model.buffers())}


@pytest.mark.parametrize("name", ["test_vit", "test_vit_relpos", "test_resnet", "beit_base_patch16_224"])
def test_modules_and_shapes_are_those_of_the_model(name):
    if not timm.is_model(name):
        pytest.skip(f"this release of timm has no {name}")
    options = {"embed_dim": 48, "depth": 2} if "beit" in name else {}
    drawn, real = sketch(lambda: timm.create_model(name, **options)), timm.create_model(name, **options)
    assert [(n, type(m)) for n, m in drawn.named_modules()] == [(n, type(m)) for n, m in real.named_modules()]
    shapes = [{k: (v.shape, v.dtype) for k, v in model.state_dict().items()} for model in (drawn, real)]
    assert shapes[0] == shapes[1]
    assert {p.device.type for p in drawn.parameters()} == {"meta"}


def test_a_sketch_changes_nothing_outside():
    state = torch.random.get_rng_state()
    sketch(tiny)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.empty(0).device.type == "cpu"
    assert nn.init.ones_(torch.zeros(2)).sum() == 2


def test_what_is_no_meta_tensor_is_initialised():
    def build() -> nn.Module:
        model = nn.Linear(2, 2, device="cpu")
        nn.init.ones_(model.weight)
        with torch.no_grad():
            model.weight.mul_(3)
        return model

    assert sketch(build).weight.tolist() == [[3, 3], [3, 3]]


def test_small_tables_may_be_read():
    rates: list[float] = []

    def build() -> nn.Module:
        rates[:] = torch.linspace(0, 1, 3).tolist()
        return nn.Linear(4, 4)

    assert devices(sketch(build)) == {"meta"}
    assert rates == [0, 0.5, 1]


def test_models_that_read_their_weights_are_built_and_leave_the_seed_alone():
    def build() -> nn.Module:
        model = nn.Linear(4, 4)
        model.largest = model.weight.max().item()
        return model

    state = torch.random.get_rng_state()
    assert devices(sketch(build)) == {"cpu"}
    assert torch.equal(state, torch.random.get_rng_state())


def test_errors_of_the_model_are_not_hidden():
    def build() -> nn.Module:
        raise TypeError("unexpected")

    with pytest.raises(TypeError, match="unexpected"):
        sketch(build)
