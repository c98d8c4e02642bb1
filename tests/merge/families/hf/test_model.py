"""What every vision model of transformers gives: all tokens wherever it gives tokens, at other image sizes too."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm

from ...reference import relative_error, sequence_lengths
from .tiny import CLASSES, EACH, PATCH, SIZE, build, inputs, is_hf, layers, needs_transformers, prefix_tokens, tower

pytestmark = needs_transformers
each_family = pytest.mark.parametrize("case", EACH)
each_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])
RESIZING = ["hf vit", "hf deit", "hf clip", "hf siglip"]


def images(size=SIZE, batch=2):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def values(out):
    """All tensors of an output, in order."""
    parts = out.values() if isinstance(out, dict) else out
    return [part for part in parts if isinstance(part, torch.Tensor)] + [
        each for part in parts if isinstance(part, tuple) for each in part
    ]


@each_attention
@each_family
def test_r0_gives_every_output_as_the_unpatched_model(case, attention):
    model = build(case, attention)
    call = inputs(model, images()) | {"output_hidden_states": True, "output_attentions": attention == "eager"}
    with torch.no_grad():
        plain = model(**call)
        patched = mm.patch(model, 0)(**call)
        unpatched = mm.unpatch(model)(**call)
    assert list(plain) == list(patched) == list(unpatched)
    assert len(values(plain)) == len(values(patched)) >= 5
    assert all(map(torch.equal, values(plain), values(patched)))
    assert all(map(torch.equal, values(plain), values(unpatched)))


@each_family
def test_hidden_states_are_all_tokens_however_they_are_asked_for(case):
    model = mm.patch(build(case), 3)
    call, tokens = inputs(model, images()), prefix_tokens(model) + 16
    with torch.no_grad():
        silent = model(**call)
        asked = model(**call, output_hidden_states=True)
        model.config.output_hidden_states = True
        by_config = model(**call)
    assert "hidden_states" not in silent
    assert [state.shape[1] for state in asked.hidden_states] == [tokens] * 4
    assert all(map(torch.equal, asked.hidden_states, by_config.hidden_states))
    assert torch.equal(asked.last_hidden_state, silent.last_hidden_state)
    assert asked.hidden_states[3].unique(dim=1).shape[1] < tokens  # merged tokens come back as copies


@each_family
def test_hidden_states_may_be_asked_for_by_their_numbers(case):
    pytest.importorskip("transformers", minversion="5.24")
    model = mm.patch(build(case), 3)
    call = inputs(model, images())
    with torch.no_grad():
        wanted = model(**call, output_hidden_states=True).hidden_states
        some = model(**call, output_hidden_states=[1, -1]).hidden_states
    assert [state is not None for state in some] == [False, True, False, True]
    assert torch.equal(some[1], wanted[1]) and torch.equal(some[3], wanted[3])


@each_family
def test_attentions_are_those_of_the_merged_tokens(case):
    model = mm.patch(build(case, "eager"), 3)
    call, tokens = inputs(model, images()), prefix_tokens(model) + 16
    with torch.no_grad():
        silent = model(**call)
        out = model(**call, output_attentions=True)
    assert [tuple(a.shape) for a in out.attentions] == [(2, 4, n, n) for n in (tokens, tokens - 3, tokens - 6)]
    assert torch.equal(out.last_hidden_state, silent.last_hidden_state)


@each_family
def test_an_output_as_a_tuple_and_a_config_that_wants_one(case):
    model = mm.patch(build(case), 3)
    call = inputs(model, images())
    with torch.no_grad():
        wanted = model(**call).last_hidden_state
        assert torch.equal(model(**call, return_dict=False)[0], wanted)
    before = mm.saliency_map(model, images())
    model.config.return_dict = False
    assert torch.equal(mm.saliency_map(model, images()), before)


@pytest.mark.parametrize("case", RESIZING)
def test_other_image_sizes_are_taken_when_the_call_says_so(case):
    model = build(case)
    larger = images(2 * SIZE)
    with torch.no_grad():
        plain = model(larger, interpolate_pos_encoding=True).last_hidden_state
        mm.patch(model, 3)
        with mm.record(model) as rec:
            merged = model(larger, interpolate_pos_encoding=True).last_hidden_state
        mm.patch(model, 0)
        assert torch.equal(model(larger, interpolate_pos_encoding=True).last_hidden_state, plain)
    tokens = prefix_tokens(model) + 64
    assert sequence_lengths(rec.layers) == [tokens - 3, tokens - 6, tokens - 9]
    assert merged.shape == plain.shape and relative_error(merged, plain) > 1e-3


def test_whether_a_call_resizes_is_seen_in_positional_arguments_too():
    model = mm.patch(build("hf clip"), 3)
    assert model(images(2 * SIZE), True).last_hidden_state.shape[1] == 65


@pytest.mark.parametrize("case", ["hf dinov2", "hf registers", "hf dinov3"])
def test_models_of_all_sizes_merge_at_each(case):
    model = mm.patch(build(case), 3)
    for size, patches in ((SIZE, 16), (SIZE + 2 * PATCH, 36)):
        with mm.record(model) as rec, torch.no_grad():
            out = model(images(size)).last_hidden_state
        assert out.shape[1] == prefix_tokens(model) + patches
        assert sequence_lengths(rec.layers) == [out.shape[1] - 3 * (i + 1) for i in range(3)]
        assert mm.merge_info(model, (size, size)).tokens[0] == out.shape[1]


@pytest.mark.parametrize("case", [*RESIZING, "hf dinov2", "hf siglip2"])
def test_saliency_of_half_the_size(case):
    model, x = build(case), images()
    assert mm.saliency_map(model, x, scale=0.5).shape == (2, 4, 4)
    assert mm.saliency_map(model, images(96)).shape == ((2, 4, 4) if case in RESIZING else (2, 6, 6))


@each_family
def test_saliency_of_every_layer_merged_or_not(case):
    model, x = build(case), images()
    for layer in range(3):
        plain, merged = mm.saliency_map(model, x, layer=layer), mm.saliency_map(model, x, layer=layer, r=3)
        assert plain.shape == merged.shape == (2, 4, 4)
        torch.testing.assert_close(merged.sum(dim=(1, 2)), torch.ones(2))
        if layer == 0:
            torch.testing.assert_close(plain, merged)
        else:
            assert not torch.allclose(plain, merged, rtol=1e-3)


@pytest.mark.parametrize("case", [*EACH, "hf vit, classes", "hf clip, classes", "hf siglip2, classes"])
def test_it_is_the_encoder_of_a_mix(case):
    model = build(case)
    mix = mm.MergeMix(model, CLASSES, saliency_r=3, generator=torch.Generator().manual_seed(0))
    batch = mix.mix(images(batch=4), torch.arange(4))
    assert batch.images.shape == (4, 3, SIZE, SIZE)
    assert batch.ratio.shape == (4,)
    torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(4))
    assert type(tower(model)).__module__.startswith("transformers.")


def test_a_model_that_takes_texts_too_is_no_encoder_but_its_tower_is():
    model = build("hf clip, whole")
    with pytest.raises(mm.MergeMixError, match=r"^encoder: .* the CLIPVisionModel inside it"):
        mm.MergeMix(model, CLASSES)
    assert mm.saliency_map(model.vision_model, images()).shape == (2, 4, 4)


@each_family
def test_images_of_bytes_need_statistics(case):
    model, x = build(case), (images() * 255).byte()
    with pytest.raises(mm.MergeMixError, match=r"^encoder_mean, encoder_std: got None"):
        mm.saliency_map(model, x)
    mix = mm.MergeMix(model, CLASSES, encoder_mean=0.5, encoder_std=0.5)
    assert mix.mix(x.float() / 255, torch.arange(2)).images.shape == x.shape


@each_family
def test_a_model_is_told_apart_by_its_class_alone(case):
    model = build(case)
    assert is_hf(model) and len(layers(model)) == 3
    known = type(model)
    subclass = type("Mine", (known,), {"__module__": __name__})
    model.__class__ = subclass
    assert mm.supported(model).reason == f"it is a subclass of {known.__name__} that may compute something else"
    with pytest.raises(mm.MergeMixError, match="is a subclass of"):
        mm.patch(model, 3)
