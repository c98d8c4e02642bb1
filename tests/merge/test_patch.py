"""Token merging in and out of a model."""

import contextlib
import copy
import io
import pickle
import warnings

import pytest
import timm
import torch
from timm.utils import ModelEmaV3
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.choose import match
from timm_mergemix.merge.passes import Merging
from timm_mergemix.merge.patch import merging_state

from ..models import images, tiny, tiny_torchvision
from .reference import MODELS, Wrapper, alone, sequence_lengths

BUILDERS = {name: (lambda name=name: tiny(name)) for name in MODELS} | {
    "qk-norm": lambda: tiny(qk_norm=True),
    "torchvision": tiny_torchvision,
}
each_model = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
both_families = pytest.mark.parametrize("build", [tiny, tiny_torchvision])


def blocks_of(model):
    return model.blocks if hasattr(model, "blocks") else model.encoder.layers


def snapshot(model):
    """Classes and attributes of all modules; what is mutable is copied."""
    return {
        name: (
            type(module),
            {key: dict(value) if isinstance(value, dict) else value for key, value in module.__dict__.items()},
        )
        for name, module in model.named_modules()
    }


def assert_unchanged(before, model):
    after = snapshot(model)
    assert list(after) == list(before)
    for name, (cls, attributes) in before.items():
        assert after[name][0] is cls
        assert list(after[name][1]) == list(attributes)
        for key, value in attributes.items():
            assert same(value, after[name][1][key]), (name, key)


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(one[key] is other[key] for key in one)
    return one is other or one == other


def assert_holds_no_tensor(model):
    for module in model.modules():
        state = module.__dict__.values()
        assert not any(isinstance(value, torch.Tensor) for value in state), type(module)
    state = merging_state(model)
    assert (state.tokens, state.aside, state.observer) == (None, None, None)


# ---------------------------------------------------------------- patch and unpatch


@each_model
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


@each_model
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
def test_classes_keep_their_kin(build):
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
    first = state.config
    mm.patch(model, r=("total", 9), prop_attn=False)
    assert merging_state(model) is state
    config, state.config = state.config, first
    assert_unchanged(once, model)
    state.config = config
    assert mm.merge_info(model).merges == (3, 3, 3)
    assert not mm.merge_info(model).prop_attn
    wanted = mm.patch(build(), r=3, prop_attn=False)(x)
    assert torch.equal(model(x), wanted)
    mm.unpatch(model)
    assert_unchanged(before, model)
    mm.unpatch(model)
    assert_unchanged(before, model)


@both_families
@pytest.mark.parametrize("r", [-1, 1.5, True, None, "8", [1, 2], [9, 0, 0], ("total", 15), ("keep", 0.01), ("keep", 0)])
def test_a_bad_r_leaves_the_model_untouched(build, r):
    model = build()
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=r"^r"):
        mm.patch(model, r)
    assert_unchanged(before, model)
    mm.patch(model, 3)
    config = merging_state(model).config
    with pytest.raises(MergeMixError, match=r"^r"):
        mm.patch(model, r)
    assert merging_state(model).config is config


def test_an_unsupported_model_is_left_untouched():
    model = tiny()
    model.blocks[2] = nn.Identity()
    before = snapshot(model)
    for function in (mm.unpatch, mm.merge_info, lambda m: mm.patch(m, 2), lambda m: mm.merging(m, 2).__enter__()):
        with pytest.raises(MergeMixError, match="block 2 is a Identity"):
            function(model)
    assert_unchanged(before, model)


def test_settings_are_checked_before_a_wrapper_is_touched():
    wrapper = Wrapper(tiny())
    before = snapshot(wrapper)
    with pytest.raises(MergeMixError):
        mm.patch(wrapper, [1])
    assert_unchanged(before, wrapper)


# ---------------------------------------------------------------- wrappers and copies


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
    assert sum(isinstance(m, Merging) for m in other.modules()) == 1
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
def test_a_moving_average_of_the_weights(build):
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


def test_modes_follow_the_model():
    model = tiny().train()
    mm.patch(model, 2)
    assert merging_state(model).training
    assert not any(m.training for m in model.eval().modules())
    assert all(m.training for m in model.train().modules())


def test_a_model_on_the_default_dtype_float64():
    model = mm.patch(tiny().double(), 3)
    with mm.record(model) as rec:
        out = model(images(model).double())
    assert out.dtype == torch.float64
    assert rec.layers[-1].size.dtype == torch.float32


# ---------------------------------------------------------------- merging, record, merge_info


@both_families
def test_merging_patches_for_a_while(build):
    model = build()
    x, before = images(model), snapshot(model)
    plain, merged = model(x), mm.patch(build(), 3)(x)
    with mm.merging(model, r=3) as inside:
        assert inside is model
        assert torch.equal(model(x), merged)
    assert_unchanged(before, model)
    assert torch.equal(model(x), plain)


@both_families
def test_merging_changes_a_patched_model_for_a_while(build):
    model = mm.patch(build(), 3)
    x, config = images(model), merging_state(model).config
    merged = model(x)
    with mm.merging(model, r=0):
        assert torch.equal(model(x), build()(x))
        with mm.merging(model, r=("total", 5), prop_attn=False):
            assert mm.merge_info(model).merges == (2, 2, 1)
            assert not mm.merge_info(model).prop_attn
            with mm.merging(model, prop_attn=True):
                assert mm.merge_info(model).merges == (2, 2, 1)
                assert mm.merge_info(model).prop_attn
        assert mm.merge_info(model).merges == (0, 0, 0)
    assert merging_state(model).config is config
    assert torch.equal(model(x), merged)


def test_merging_without_r_keeps_what_is_in_force():
    model = tiny()
    with mm.merging(model):
        assert mm.merge_info(model).merges == (0, 0, 0)
    mm.patch(model, 2, prop_attn=False)
    with mm.merging(model):
        assert mm.merge_info(model).merges == (2, 2, 2)
        assert not mm.merge_info(model).prop_attn


def test_merging_with_prop_attn_alone():
    model = tiny()
    with mm.merging(model, r=3, prop_attn=False):
        assert torch.equal(model(images(model)), mm.patch(tiny(), 3, prop_attn=False)(images(model)))


@pytest.mark.parametrize("patched", [False, True])
def test_merging_restores_after_an_error(patched):
    model = mm.patch(tiny(), 1) if patched else tiny()
    before, config = snapshot(model), merging_state(model).config if patched else None

    def fail():
        with mm.merging(model, r=3), mm.record(model):
            handle = model.blocks[1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
            try:
                model(images(model))
            finally:
                handle.remove()

    with pytest.raises(ZeroDivisionError):
        fail()
    assert_unchanged(before, model)
    if patched:
        assert merging_state(model).config is config
        assert_holds_no_tensor(model)


@pytest.mark.parametrize("patched", [False, True])
def test_merging_with_a_bad_r_changes_nothing(patched):
    model = mm.patch(tiny(), 1) if patched else tiny()
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=r"^r"), mm.merging(model, r=[1]):
        pass
    assert_unchanged(before, model)


def test_unpatching_inside_merging_is_harmless():
    for model in (tiny(), mm.patch(tiny(), 1)):
        with mm.merging(model, r=2):
            mm.unpatch(model)
        assert torch.equal(model(images(model)), tiny()(images(model)))


@both_families
@pytest.mark.parametrize("patched", [False, True])
def test_record(build, patched):
    model = build()
    if patched:
        mm.patch(model, [5, 0, 3])
    x = images(model, batch=3)
    before, wanted = snapshot(model), model(x)
    with mm.record(model) as rec:
        assert torch.equal(model(x), wanted)
        model(x[:1])
    assert_unchanged(before, model)
    assert [len(layers) for layers in rec.forwards] == [3, 3]
    assert [layers[0].source.shape[0] for layers in rec.forwards] == [3, 1]
    assert rec.layers is rec.forwards[1]
    assert sequence_lengths(rec.layers) == ([12, 12, 9] if patched else [17, 17, 17])
    for layer in rec.forwards[0]:
        kept = layer.size.shape[1]
        assert layer.source.shape == (3, 17)
        assert (layer.size.sum(1) == 17).all()
        for b in range(3):
            assert layer.source[b].bincount(minlength=kept).tolist() == layer.size[b].tolist()
        assert (layer.source[:, 0] == 0).all()
        assert layer.attention.shape == (3, 16)
        assert (layer.attention > 0).all()
        assert not layer.attention.requires_grad
    model(x)
    assert len(rec.forwards) == 2


def test_record_without_attention():
    model = mm.patch(tiny(), 2)
    with mm.record(model, attention=False) as rec:
        model(images(model))
    assert [layer.attention for layer in rec.layers] == [None, None, None]


def test_merge_info():
    model = mm.patch(tiny("vit_small_patch14_reg4_dinov2"), ("decreasing", 3))
    info = mm.merge_info(model)
    assert info.r == ("decreasing", 3)
    assert info.merges == (6, 3, 0)
    assert info.prefix_tokens == 5
    assert info.tokens == (21, 15, 12, 12)
    assert info.prop_attn
    assert not info.grad_checkpointing


def test_merge_info_shows_what_clipping_left():
    assert mm.merge_info(mm.patch(tiny(), 100)).merges == (8, 4, 2)


def test_merge_info_at_another_size():
    model = mm.patch(tiny(dynamic_img_size=True), ("keep", 0.5))
    assert mm.merge_info(model, (96, 32)).tokens == (13, 11, 9, 7)
    with pytest.raises(MergeMixError, match=r"image_size: got \(90, 30\), wanted \(96, 32\), or another size"):
        mm.merge_info(model, (90, 30))
    padding = mm.patch(tiny(dynamic_img_size=True, dynamic_img_pad=True), ("keep", 0.5))
    assert mm.merge_info(padding, (90, 30)).tokens == (13, 11, 9, 7)
    model = mm.patch(tiny(), 1)
    assert mm.merge_info(model, (64, 64)).tokens[0] == 17
    with pytest.raises(MergeMixError, match=r"image_size: got \(96, 32\), wanted \(64, 64\), or another"):
        mm.merge_info(model, (96, 32))


@pytest.mark.parametrize("size", [64, (64,), (64, 64, 3), (0, 64), (64, -1), (64.0, 64), "ab", (True, 64)])
def test_merge_info_refuses_a_bad_image_size(size):
    with pytest.raises(MergeMixError, match=r"^image_size"):
        mm.merge_info(mm.patch(tiny(), 1), size)


def test_merge_info_wants_a_size_where_there_is_none():
    model = mm.patch(tiny(dynamic_img_size=True), 2)
    model.patch_embed.img_size = None
    with pytest.raises(MergeMixError, match="image_size: got None"):
        mm.merge_info(model)
    assert mm.merge_info(model, (64, 64)).merges == (2, 2, 2)
    mm.patch(model, ("total", 1000))
    with pytest.raises(MergeMixError, match="at most 14"):
        model(images(tiny()))


@pytest.mark.parametrize("function", [mm.merge_info, merging_state])
def test_an_unpatched_model_has_no_info(function):
    with pytest.raises(MergeMixError, match=r"wanted a patched model, see timm_mergemix\.patch"):
        function(tiny())


# ---------------------------------------------------------------- compiling and tracing


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("train", [False, True])
def test_compiles_to_one_graph(dynamo, train):
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
def test_traces():
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
    with pytest.raises(MergeMixError, match="it is scripted; patch the model before"):
        mm.patch(torch.jit.script(model.eval()), 2)


@pytest.mark.parametrize("build", [tiny, tiny_torchvision, BUILDERS["qk-norm"]])
def test_matching_is_on_the_keys_that_the_attention_uses(build, monkeypatch):
    model, seen = mm.patch(build(), 3), []
    x = images(model)

    def spy(matching, keys, r, prefix, padding, progress):
        seen.append((keys, r, prefix, progress))
        return match(matching, keys, r, prefix, padding, progress)

    monkeypatch.setattr("timm_mergemix.merge.blocks.match", spy)
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


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_blocks_that_are_cut_off_in_place(pool):
    model, cut = tiny(global_pool=pool), tiny(global_pool=pool)
    x = images(model)
    cut.blocks = cut.blocks[:2]
    wanted = mm.patch(cut, [4, 4])(x)
    mm.patch(model, [4, 4, 4])
    del model.blocks[-1]
    assert torch.equal(model(x), wanted)
    assert model.forward_features(x).shape[1] == 17
    model = mm.patch(tiny(global_pool=pool), [4, 4, 4])
    model.blocks.pop(2)
    assert [part.shape[1] for part in model.forward_intermediates(x, output_fmt="NLC")[1]] == [16, 16]
    assert torch.equal(model(x), wanted)


def test_a_last_block_that_was_replaced_in_place_is_an_error():
    model = mm.patch(tiny(global_pool="avg"), 4)
    model.blocks[2] = nn.Identity()
    with pytest.raises(MergeMixError, match=r"^blocks: got a Identity as the last of them, wanted those that were"):
        model(images(model))


def test_patching_again_follows_blocks_that_were_removed_from_the_middle():
    model, cut = mm.patch(tiny(), 4), tiny()
    del model.blocks[1]
    with pytest.raises(MergeMixError, match="must run in order, from the first one; patch again if some were removed"):
        model(images(model))
    cut.blocks = nn.Sequential(cut.blocks[0], cut.blocks[2])
    wanted = mm.patch(cut, [4, 4])
    assert torch.equal(mm.patch(model, [4, 4])(images(model)), wanted(images(model)))
    assert mm.merge_info(model) == mm.merge_info(wanted)


def test_copied_blocks_are_an_error_and_unpatch_still_works():
    model = mm.patch(tiny(global_pool="avg"), 4)
    model.blocks = copy.deepcopy(model.blocks)
    for call in (lambda: mm.patch(model, 3), lambda: mm.merge_info(model)):
        with pytest.raises(MergeMixError, match="blocks were copied from a patched model into it; unpatch the model"):
            call()
    for call in (model, model.forward_features, model.forward_intermediates):
        with pytest.raises(MergeMixError, match="got a copied MergingVitBlock as the last of them"):
            call(images(model))
    wanted = mm.patch(tiny(global_pool="avg"), 4)(images(model))
    assert torch.equal(mm.patch(mm.unpatch(model), 4)(images(model)), wanted)


@pytest.mark.parametrize("name", ["forward_head", "pool"])
def test_a_head_of_the_users_own_reads_all_tokens(name):
    model = mm.patch(tiny(global_pool="token"), 4)
    setattr(model, name, lambda x, pre_logits=False: x[:, 1:].mean(dim=1))
    x = images(model)
    tokens = model.forward_features(x)
    assert tokens.shape[1] == 17
    wanted = model.forward_head(tokens)
    assert torch.equal(model(x), wanted)


@pytest.mark.parametrize("index", [0, 2])
def test_a_block_that_was_replaced_by_a_plain_one(index):
    model = tiny(global_pool="avg")
    fresh = copy.deepcopy(model.blocks[index])
    mm.patch(model, 4)
    model.blocks[index] = fresh
    message = rf"block {index} was replaced while the model was patched; unpatch the model, then patch it again"
    for call in (lambda: mm.patch(model, 3), lambda: mm.merge_info(model)):
        with pytest.raises(MergeMixError, match=message):
            call()
    assert type(mm.unpatch(model)) is type(tiny()) and type(model.blocks[1]) is type(fresh)
    assert torch.equal(mm.patch(model, 4)(images(model)), mm.patch(tiny(global_pool="avg"), 4)(images(model)))


@pytest.mark.parametrize("build", [tiny, lambda: tiny("beit_base_patch16_224")])
def test_an_attention_that_was_replaced_is_taken_in_by_patching_again(build):
    model = build()
    attention = copy.deepcopy(model.blocks[1].attn)
    wanted = mm.patch(model, 4)(images(model))
    model.blocks[1].attn = attention
    with contextlib.suppress(MergeMixError):  # families that need a hook say that it is gone
        assert torch.equal(model(images(model)), wanted)
    mm.patch(mm.unpatch(model), 4)
    assert torch.equal(model(images(model)), wanted)


def test_blocks_that_are_wrapped_one_by_one():
    model = mm.patch(tiny(global_pool="avg"), 4)
    x = images(model)
    wanted = model(x)
    for i, block in enumerate(model.blocks):  # as FSDP and checkpoint wrappers do
        model.blocks[i] = Wrapper(block)
    assert torch.equal(model(x), wanted)


def test_a_schedule_for_larger_images_than_the_default_where_the_model_takes_all_sizes():
    model = tiny(dynamic_img_size=True)
    mm.patch(model, [30, 15, 8])
    assert mm.merge_info(model, (128, 128)).tokens == (65, 35, 20, 12)
    assert model(torch.randn(1, 3, 128, 128)).isfinite().all()
    with pytest.raises(MergeMixError, match=r"^r\[0\]: got 30, wanted at most 8"):
        model(images(model))
    with pytest.raises(MergeMixError, match=r"^r\[0\]: got 30, wanted at most 8"):
        mm.patch(tiny(), [30, 15, 8])


def test_a_forward_that_somebody_kept_runs_after_the_model_was_unpatched():
    model = tiny()
    x = images(model)
    plain = model(x)
    kept = mm.patch(model, 3).forward
    mm.unpatch(model)
    assert torch.equal(kept(x), plain)
