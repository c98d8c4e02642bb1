"""What holds for every family and every option that changes what merging must do."""

from __future__ import annotations

import pickle

import pytest
import torch

import timm_mergemix as mm

from ..patched import assert_holds_no_tensor, assert_unchanged, snapshot
from ..reference import sequence_lengths
from .cases import (
    BUILDERS,
    ENCODERS,
    each_case,
    each_case_but_torchvision,
    features,
    images,
    intermediates,
    output,
    patches_of,
    prefix_tokens,
    set_checkpointing,
    transformer,
)
from .hf import tiny as hf


def bfloat16(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        return output(model, x)


@each_case
def test_r0_is_the_model_itself_and_unpatch_restores_it(case):
    model = BUILDERS[case]()
    before, pickled = snapshot(model), pickle.dumps(model)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    x = images(model)
    plain, mixed = output(model, x), bfloat16(model, x)
    mm.patch(model, 0)
    assert torch.equal(output(model, x), plain)
    assert torch.equal(bfloat16(model, x), mixed)
    mm.patch(model, 2)
    mm.patch(model, 3)
    assert list(model.state_dict()) == list(weights)
    assert not torch.allclose(output(model, x), plain, rtol=1e-3)
    mm.unpatch(model)
    assert_unchanged(before, model)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert len(pickle.dumps(model)) == len(pickled) and b"mergemix" not in pickle.dumps(model)
    assert torch.equal(output(model, x), plain)
    assert torch.equal(bfloat16(model, x), mixed)


@each_case
def test_every_block_merges_and_every_parameter_gets_a_gradient(case):
    model = BUILDERS[case]()
    x = images(model)
    plain = output(model, x)
    plain.square().sum().backward()
    trained = {
        key for key, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    model.zero_grad()
    mm.patch(model, 3)
    with mm.record(model) as rec:
        out = output(model, x)
    start = rec.layers[0].source.shape[1]
    assert start == prefix_tokens(model) + patches_of(case)
    assert sequence_lengths(rec.layers) == [start - 3, start - 6, start - 9]
    assert mm.merge_info(model, x.shape[2:]).tokens == (start, start - 3, start - 6, start - 9)
    assert out.shape == plain.shape
    out.square().sum().backward()
    grads = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert {key for key, grad in grads.items() if grad.any()} == trained
    assert all(grad.isfinite().all() for grad in grads.values())
    assert_holds_no_tensor(model)


@each_case_but_torchvision  # torchvision's models have no switch for it
def test_checkpointing_changes_no_gradient(case):
    model = mm.patch(BUILDERS[case](), 3).train()
    x = images(model)
    results = []
    for enable in (False, True):
        model.zero_grad()
        set_checkpointing(model, enable)
        torch.manual_seed(0)  # the MLP of a relative position bias has dropout
        output(model, x).square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert mm.merge_info(model, x.shape[2:]).grad_checkpointing
    assert len(results[0]) > 10
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*results, strict=True))


@each_case_but_torchvision  # torchvision's models give no intermediates
def test_all_tokens_come_back(case):
    whole = BUILDERS[case]()
    model = transformer(whole)
    x = images(model)
    plain = features(model, x)
    layers = intermediates(model, x)
    mm.patch(model, 3)
    assert features(model, x).shape == plain.shape
    if not hf.is_hf(model) and (whole is not model or case not in ENCODERS):  # an encoder alone has no head
        torch.testing.assert_close(whole.forward_head(whole.forward_features(x)), whole(x), rtol=1e-5, atol=1e-5)
    assert_holds_no_tensor(model)
    merged = intermediates(model, x)
    assert [layer.shape for layer in merged] == [layer.shape for layer in layers]
    mm.patch(model, 0)
    assert torch.equal(features(model, x), plain)
    assert all(map(torch.equal, intermediates(model, x), layers))


# One for each way in which a block is built; a compilation takes seconds.
COMPILED = [
    "vit",
    "post-norm",
    "parallel things",
    "parallel scaling",
    "differential",
    "differential, parallel",
    "eva02",
]
COMPILED += ["rope, mixed", "dinov3", "beit", "beit, shared bias", "relpos", "cait", "naflex, mixed rope", "deepseek"]
COMPILED += ["qwen3", "gemma4", "torchvision", *hf.EACH]


@pytest.mark.parametrize("case", [case for case in COMPILED if case in BUILDERS])
def test_a_patched_model_compiles_to_one_graph(case):
    torch._dynamo.reset()
    model = mm.patch(BUILDERS[case](), 3)
    x = images(model)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(output(compiled, x), output(model, x))


@pytest.mark.parametrize("case", ["vit", "rope", "beit"])
def test_a_model_that_lost_its_last_blocks_still_gives_all_tokens(case):
    model = mm.patch(BUILDERS[case](), 3)
    model.blocks = model.blocks[:2]
    assert model.forward_features(images(model)).shape[1] == prefix_tokens(model) + 16
