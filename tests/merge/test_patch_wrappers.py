"""Wrappers, copies, pickles, compilers and tracers take a patched model as they take a plain one."""

import copy
import io
import pickle
import warnings

import pytest
import timm
import torch
from timm.utils import ModelEmaV3

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny
from .patched import assert_holds_no_tensor, assert_unchanged, blocks_of, both_families, merging_state, snapshot
from .reference import Wrapper


def test_settings_are_checked_before_a_wrapper_is_touched():
    wrapper = Wrapper(tiny())
    before = snapshot(wrapper)
    with pytest.raises(MergeMixError):
        mm.patch(wrapper, [1])
    assert_unchanged(before, wrapper)


@both_families
def test_a_wrapper_is_patched_through(build):
    model = build()
    x, wrapper = images(model), Wrapper(model)
    wanted = mm.patch(build(), 3)(x)
    assert mm.patch(wrapper, 3) is wrapper
    assert torch.equal(wrapper(x), wanted)
    assert mm.merge_info(wrapper).merges == (3, 3, 3)
    with mm.record(wrapper) as rec:
        wrapper(x)
    assert len(rec.layers) == 3
    assert mm.unpatch(wrapper) is wrapper
    assert torch.equal(wrapper(x), build()(x))


@both_families
def test_a_deep_copy_has_its_own_state(build):
    model = mm.patch(build(), 3)
    x = images(model)
    wanted = model(x)
    other = copy.deepcopy(model)
    state = merging_state(other)
    assert state is not merging_state(model)
    assert all(block.merging is state for block in blocks_of(other))
    mm.patch(other, 0)
    assert torch.equal(model(x), wanted)
    assert torch.equal(other(x), build()(x))
    mm.patch(other, 3)
    assert torch.equal(other(x), wanted)
    mm.unpatch(other)
    assert torch.equal(other(x), build()(x))
    assert torch.equal(model(x), wanted)
    assert b"mergemix" not in pickle.dumps(other)


def test_a_copy_catches_its_own_keys():
    model = mm.patch(tiny(), 3)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    x = images(model)
    with mm.record(model) as one, mm.record(other) as two:
        model(x)
        other(x)
    again = mm.patch(tiny(), 3)
    with mm.record(again) as alone:
        again(x)
    assert all(torch.equal(a.source, b.source) for a, b in zip(one.layers, alone.layers, strict=True))
    assert not all(torch.equal(a.source, b.source) for a, b in zip(one.layers, two.layers, strict=True))


@both_families
def test_a_moving_average_of_the_weights_is_patched_too(build):
    model = mm.patch(build(), 3).train()
    x = images(model)
    ema = ModelEmaV3(model, decay=0.5)
    model(x).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.01 * parameter.grad)
    ema.update(model)
    fresh = build()
    average = {key: 0.5 * value + 0.5 * model.state_dict()[key] for key, value in fresh.state_dict().items()}
    fresh.load_state_dict(average)
    wanted = mm.patch(fresh, 3)(x)
    torch.testing.assert_close(ema.module.eval()(x), wanted, rtol=1e-4, atol=1e-5)
    assert merging_state(ema.module) is not merging_state(model)


@both_families
def test_a_saved_model_is_loaded_patched(build):
    model = mm.patch(build(), 3)
    x, file = images(model), io.BytesIO()
    wanted = model(x)
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded(x), wanted)
    assert all(block.merging is merging_state(loaded) for block in blocks_of(loaded))
    mm.unpatch(loaded)
    assert torch.equal(loaded(x), build()(x))
    hooks = [len(m._forward_hooks) for m in loaded.modules()]
    assert sum(hooks) == 0
    assert b"mergemix" not in pickle.dumps(loaded)


@both_families
def test_weights_travel_between_patched_and_plain(build):
    plain, patched = build(seed=1), mm.patch(build(seed=2), 3)
    patched.load_state_dict(plain.state_dict())
    x = images(plain)
    mm.unpatch(patched)
    assert torch.equal(patched(x), plain(x))
    plain.load_state_dict(mm.patch(patched, 2).state_dict())


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("train", [False, True])
def test_a_patched_model_compiles_to_one_graph(dynamo, train):
    model = mm.patch(tiny(depth=2), 3).train(train)
    x = images(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lru_cache.*")
        out = torch.compile(model, backend="eager", fullgraph=True)(x)
    out.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    wanted = model(x)
    wanted.square().sum().backward()
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(gradients, [parameter.grad for parameter in model.parameters()])


def test_a_compiled_model_is_patched_through(dynamo):
    model = tiny(depth=2)
    x = images(model)
    compiled = torch.compile(model, backend="eager")
    plain = compiled(x)
    assert mm.patch(compiled, 3) is compiled
    torch.testing.assert_close(compiled(x), mm.patch(tiny(depth=2), 3)(x))
    mm.unpatch(compiled)
    torch.testing.assert_close(compiled(x), plain)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_model_computes_what_the_model_does():
    model = mm.patch(tiny(depth=2), ("total", 7))
    x = images(model)
    traced = torch.jit.trace(model, x)
    for seed, batch in ((1, 2), (2, 5)):
        y = images(model, batch=batch, seed=seed)
        torch.testing.assert_close(traced(y), model(y))
    assert_holds_no_tensor(model)


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_model_is_refused():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=48, num_heads=3, scriptable=True)
    with pytest.raises(MergeMixError, match="it is scripted or traced; patch the model before"):
        mm.patch(torch.jit.script(model.eval()), 2)


def test_blocks_can_be_wrapped_one_by_one():
    model = mm.patch(tiny(global_pool="avg"), 4)
    x = images(model)
    wanted = model(x)
    for i, block in enumerate(model.blocks):  # as FSDP and checkpoint wrappers do
        model.blocks[i] = Wrapper(block)
    assert torch.equal(model(x), wanted)
