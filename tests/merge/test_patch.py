"""A model is patched and unpatched in place, and nothing but token merging changes."""

import pickle

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.choose import plan_merges

from ..models import images, tiny, tiny_torchvision
from .patched import assert_holds_no_tensor, assert_unchanged, blocks_of, both_families, merging_state, snapshot
from .reference import alone, randn, sequence_lengths


@both_families
def test_tokens_per_layer_are_as_scheduled(build):
    model = build()
    x = images(model)
    assert mm.patch(model, r=3) is model
    info = mm.merge_info(model)
    assert info.merges == (3, 3, 3)
    assert info.tokens[0] == 16 + info.prefix_tokens
    with mm.record(model) as rec:
        out = model(x)
    assert sequence_lengths(rec.layers) == list(info.tokens[1:])
    assert out.shape == (2, 10)
    assert out.isfinite().all()
    assert_holds_no_tensor(model)


@both_families
def test_unpatch_restores_everything(build):
    model = build()
    x = images(model)
    before, pickled = snapshot(model), pickle.dumps(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    wanted = model(x)
    mm.patch(model, r=3)
    assert list(model.state_dict()) == list(state)
    assert not torch.equal(model(x), wanted)
    model(x).sum().backward()
    model.zero_grad()
    assert mm.unpatch(model) is model
    assert_unchanged(before, model)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert list(model.state_dict()) == list(state)
    assert torch.equal(model(x), wanted)
    assert b"mergemix" not in pickle.dumps(model)
    assert len(pickle.dumps(model)) == len(pickled)


@both_families
def test_a_patched_class_is_a_subclass_of_the_plain_one(build):
    model = build()
    plain, block = type(model), type(blocks_of(model)[0])
    mm.patch(model, 2)
    assert isinstance(model, plain)
    assert type(model) is not plain
    assert all(isinstance(b, block) and type(b) is not block for b in blocks_of(model))
    assert "Merging(r=2, prop_attn=True, matching='bipartite')" in repr(model)


@both_families
def test_patching_twice_does_not_nest(build):
    model = build()
    x, before = images(model), snapshot(model)
    mm.patch(model, r=2)
    once, state = snapshot(model), merging_state(model)
    first = state.settings
    mm.patch(model, r=("total", 9), prop_attn=False)
    assert merging_state(model) is state
    config, state.settings = state.settings, first
    assert_unchanged(once, model)
    state.settings = config
    assert mm.merge_info(model).merges == (3, 3, 3)
    assert not mm.merge_info(model).prop_attn
    wanted = mm.patch(build(), r=3, prop_attn=False)(x)
    assert torch.equal(model(x), wanted)
    mm.unpatch(model)
    assert_unchanged(before, model)
    mm.unpatch(model)
    assert_unchanged(before, model)


@both_families
@pytest.mark.parametrize(
    "r", [-1, 1.5, True, None, "many", "keep:0", [1, 2], [9, 0, 0], ("total", 15), ("keep", 0.01), ("keep", 0)]
)
def test_a_bad_r_leaves_the_model_untouched(build, r):
    model = build()
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=r"^r"):
        mm.patch(model, r)
    assert_unchanged(before, model)
    mm.patch(model, 3)
    config = merging_state(model).settings
    with pytest.raises(MergeMixError, match=r"^r"):
        mm.patch(model, r)
    assert merging_state(model).settings is config


def test_an_unsupported_model_is_left_untouched():
    model = tiny()
    model.blocks[2] = nn.Identity()
    before = snapshot(model)
    for function in (mm.unpatch, mm.merge_info, lambda m: mm.patch(m, 2), lambda m: mm.merging(m, 2).__enter__()):
        with pytest.raises(MergeMixError, match=r"blocks\.2 is of class Identity"):
            function(model)
    assert_unchanged(before, model)


def test_training_and_eval_mode_follow_the_model():
    model = tiny().train()
    mm.patch(model, 2)
    assert not any(m.training for m in model.eval().modules())
    assert all(m.training for m in model.train().modules())


def test_sizes_are_float32_in_a_float64_model():
    model = mm.patch(tiny().double(), 3)
    with mm.record(model) as rec:
        out = model(images(model).double())
    assert out.dtype == torch.float64
    assert rec.layers[-1].size.dtype == torch.float32


@pytest.mark.parametrize("build", [tiny, tiny_torchvision, lambda: tiny(qk_norm=True)])
def test_matching_is_on_the_keys_that_the_attention_uses(build, monkeypatch):
    model, seen = mm.patch(build(), 3), []
    x = images(model)

    def spy(matching, keys, r, prefix, padding, progress, *rest):
        seen.append((keys, r, prefix, progress))
        return plan_merges(matching, keys, r, prefix, padding, progress, *rest)

    monkeypatch.setattr("timm_mergemix.merge.blocks.plan_merges", spy)
    entered = []
    for block in blocks_of(model):
        block.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    model(x)
    assert [rest for _, *rest in seen] == [[3, 1, 0.0], [3, 1, 1 / 3], [3, 1, 2 / 3]]
    for block, tokens, (keys, *_) in zip(blocks_of(model), entered, seen, strict=True):
        _, wanted, _ = block.query_key(tokens, slice(0, 1), alone())
        torch.testing.assert_close(keys, wanted.mean(1))


@both_families
def test_other_samples_do_not_change_how_a_sample_merges(build):
    model = mm.patch(build(), 3)
    x = images(model, batch=3)
    others = images(model, batch=3, seed=1)
    others[1] = x[1]
    with mm.record(model) as rec:
        out, again = model(x), model(others)
    torch.testing.assert_close(out[1], again[1])
    for one, other in zip(*rec.forwards, strict=True):
        assert torch.equal(one.source[1], other.source[1])
        assert not torch.equal(one.source[0], other.source[0])


def test_a_schedule_may_be_for_larger_images_where_the_model_takes_all_sizes():
    model = tiny(dynamic_img_size=True)
    mm.patch(model, [30, 15, 8])
    assert mm.merge_info(model, (128, 128)).tokens == (65, 35, 20, 12)
    assert model(torch.randn(1, 3, 128, 128)).isfinite().all()
    with pytest.raises(MergeMixError, match=r"^r\[0\]: got 30, wanted at most 8"):
        model(images(model))
    with pytest.raises(MergeMixError, match=r"^r\[0\]: got 30, wanted at most 8"):
        mm.patch(tiny(), [30, 15, 8])


@pytest.mark.parametrize("order", [(0, 2), (1,), (2,), (0, 0, 2), (0, 1, 1), (1, 0)])
def test_blocks_out_of_order_are_refused(order):
    model = mm.patch(tiny(), 2)
    x = randn(2, 17, 48)

    def run():
        y = x
        for index in order:
            y = model.blocks[index](x if index == 0 else y)

    with pytest.raises(MergeMixError, match="must run in order, from the first one"):
        run()
    assert model(images(model)).shape == (2, 10)


def test_adapters_is_true_or_false():
    with pytest.raises(MergeMixError, match="adapters: got 'no', wanted True, False or None"):
        mm.patch(tiny(), 2, adapters="no")


def test_a_hook_that_steers_is_refused_unless_it_is_allowed():
    model, steered = mm.patch(tiny(), 3), tiny()
    x = images(model)
    for each in (model, steered):
        each.blocks[0].register_forward_hook(lambda module, args, output: output + 0.5)
    with pytest.raises(MergeMixError, match="adapters=True"):
        model(x)
    mm.patch(model, [0, 3, 0], adapters=True)
    assert torch.equal(model(x), mm.patch(steered, [0, 3, 0], adapters=True)(x))
    with mm.merging(model, 0):
        assert torch.equal(model(x), mm.unpatch(steered)(x))
    mm.patch(model, 3)  # keeps it
    model(x)
    with pytest.raises(MergeMixError, match="forward_intermediates passes merged tokens on separately"):
        model.forward_intermediates(x)
    mm.patch(model, 3, adapters=False)
    with pytest.raises(MergeMixError, match="adapters=True"):
        model(x)


@pytest.mark.parametrize(("text", "r"), [("keep:0.5", ("keep", 0.5)), ("2,1,0", [2, 1, 0]), ("total:5", ("total", 5))])
def test_the_text_of_the_command_line_is_taken_by_every_function_of_r(text, r):
    model = tiny()
    x, labels = images(model), torch.tensor([0, 1])
    with mm.merging(model, text):
        merges = mm.merge_info(model).merges
    assert merges == mm.merge_info(mm.patch(tiny(), r)).merges == mm.merge_info(mm.patch(tiny(), r=text)).merges
    assert torch.equal(mm.saliency_map(model, x, r=text), mm.saliency_map(model, x, r=r))
    mixed = [
        mm.MergeMix(model, 10, saliency_r=each, mergemix_prob=1.0, generator=torch.Generator().manual_seed(0))(
            x, labels
        )
        for each in (text, r)
    ]
    assert torch.equal(mixed[0][0], mixed[1][0])
