"""How the layers of transformers checkpoint, and what kinds of attention they refuse."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm

from .tiny import EACH, build, inputs, layers, needs_transformers, output, set_checkpointing, tower

pytestmark = needs_transformers
each_family = pytest.mark.parametrize("case", EACH)


def images(batch=2):
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def gradients(model, x):
    """Of one training step, with the random numbers that a checkpoint must draw again."""
    model.zero_grad()
    torch.manual_seed(0)
    output(model, x).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def dropping(case):
    """A model in training mode whose layers draw random numbers."""
    option = "hidden_dropout_prob" if case in ("hf vit", "hf deit") else "attention_dropout"
    option = "drop_path_rate" if "dino" in case or case == "hf registers" else option
    return build(case, **{option: 0.3}).train()


@pytest.mark.parametrize("reentrant", [False, True])
@each_family
def test_checkpoints_of_merging_layers_change_no_gradient(case, reentrant):
    model, x = mm.patch(dropping(case), 3), images()
    wanted = gradients(model, x)
    assert not mm.merge_info(model, (64, 64)).grad_checkpointing
    set_checkpointing(model, True, use_reentrant=reentrant)
    assert mm.merge_info(model, (64, 64)).grad_checkpointing and model.is_gradient_checkpointing
    # A reentrant checkpoint gives gradients to what its input depends on, and that is all of them.
    got = gradients(model, x)
    assert wanted.keys() == got.keys() and len(got) > 10
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    set_checkpointing(model, False)
    assert not mm.merge_info(model, (64, 64)).grad_checkpointing


@pytest.mark.parametrize("r", [0, 3])
@pytest.mark.parametrize("reentrant", [False, True])
def test_each_layer_runs_once_more_in_the_backward_pass_and_no_more(r, reentrant):
    model, x = mm.patch(build("hf vit").train(), r), images()
    runs = []
    for layer in layers(model):
        layer.attention.o_proj.register_forward_hook(lambda module, args, out: runs.append(module))
    set_checkpointing(model, True, use_reentrant=reentrant)
    gradients(model, x)
    assert len(runs) == 6
    assert len(set(map(id, runs))) == 3


def test_checkpointing_that_was_on_before_the_patch_stays_on_after_the_unpatch():
    model, x = build("hf clip").train(), images()
    set_checkpointing(model, True)
    wanted = gradients(model, x)
    mm.patch(model, 0)
    assert all(torch.equal(grad, wanted[name]) for name, grad in gradients(model, x).items())
    assert mm.merge_info(model).grad_checkpointing
    mm.unpatch(model)
    assert model.is_gradient_checkpointing
    assert all(torch.equal(grad, wanted[name]) for name, grad in gradients(model, x).items())
    set_checkpointing(model, False)
    assert not model.is_gradient_checkpointing


def test_layers_may_be_checkpointed_in_part():
    model, x = mm.patch(dropping("hf vit"), 3), images()
    wanted = gradients(model, x)
    set_checkpointing(model, True)
    layers(model)[1].gradient_checkpointing = False
    assert all(torch.equal(grad, wanted[name]) for name, grad in gradients(model, x).items())


@pytest.mark.parametrize("implementation", ["flash_attention_2", "flex_attention"])
@each_family
def test_attention_without_an_additive_mask_is_refused(case, implementation):
    model = build(case)
    tower(model).config._attn_implementation = implementation
    reason = f"its attn_implementation is '{implementation}', wanted 'eager' or 'sdpa', which add the log-size"
    assert reason in mm.supported(model).reason
    with pytest.raises(mm.MergeMixError, match=reason):
        mm.patch(model, 0)
    assert not hasattr(layers(model)[0], "merging")


@each_family
def test_attention_that_is_set_after_the_patch_is_refused_once_the_model_merges(case):
    model, x = mm.patch(build(case), 3), images()
    config = tower(model).config
    config._attn_implementation = "flash_attention_2"
    with pytest.raises(mm.MergeMixError, match=r"^model: .* attn_implementation='flash_attention_2', wanted 'eager'"):
        output(model, x)
    config._attn_implementation = "eager"
    assert output(model, x).isfinite().all()


@pytest.mark.parametrize("case", [case for case in EACH if case != "hf siglip2"])
def test_masks_of_the_users_own_are_refused_while_merging(case):
    model, call = build(case), inputs(build(case), images())
    length = model(**call).last_hidden_state.shape[1]
    # Some models make a mask for their layers from one of the tokens, others hand on what they got.
    two_dimensional = case in ("hf vit", "hf deit")
    mask = torch.ones(2, length) if two_dimensional else torch.zeros(2, 1, 1, length)
    mask[..., -3:] = 0 if two_dimensional else -torch.inf
    masked = model(**call, attention_mask=mask).last_hidden_state
    assert not torch.allclose(masked, model(**call).last_hidden_state, atol=1e-3)
    assert torch.equal(mm.patch(model, 0)(**call, attention_mask=mask).last_hidden_state, masked)
    mm.patch(model, 3)
    with pytest.raises(mm.MergeMixError, match=r"^attention_mask: got a mask, wanted no mask"):
        model(**call, attention_mask=mask)


@each_family
def test_an_attention_of_another_class_is_refused(case):
    model = build(case)
    for layer in layers(model):
        name = "attention" if hasattr(layer, "attention") else "self_attn"
        own = type(getattr(layer, name))
        getattr(layer, name).__class__ = type("Mine", (own,), {})
    assert mm.supported(model).reason == f"its layers use Mine, known is {own.__name__}"
