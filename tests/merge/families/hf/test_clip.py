"""CLIP of transformers merges in its image tower alone, whatever holds that."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm

from ...reference import relative_error, sequence_lengths
from .tiny import build, layers, needs_transformers

pytestmark = needs_transformers
ALONE = "a CLIPEncoderLayer merges only inside a supported model, and no text model is supported"


@pytest.fixture
def whole():
    return build("hf clip, whole")


def call(texts=3):
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(3, 48, (texts, 8), generator=generator)
    words[:, -1] = 49
    return {"pixel_values": torch.rand(2, 3, 64, 64, generator=generator), "input_ids": words}


def test_a_whole_clip_merges_its_images_and_reads_its_texts_as_before(whole):
    with torch.no_grad():
        plain = whole(**call())
        mm.patch(whole, 0)
        unmerged = whole(**call())
        mm.patch(whole, 3)
        with mm.record(whole) as rec:
            merged = whole(**call())
    assert torch.equal(unmerged.logits_per_image, plain.logits_per_image)
    assert torch.equal(merged.text_embeds, plain.text_embeds)
    assert relative_error(merged.image_embeds, plain.image_embeds) > 1e-4
    assert merged.vision_model_output.last_hidden_state.shape == (2, 17, 96)
    assert sequence_lengths(rec.layers) == [14, 11, 8]
    assert type(whole.text_model.encoder.layers[0]).__module__.startswith("transformers.")


def test_features_of_images_are_those_of_the_whole_call(whole):
    mm.patch(whole, 3)
    x = call()["pixel_values"]
    with torch.no_grad():
        features = whole.get_image_features(pixel_values=x).pooler_output
        wanted = whole(**call()).image_embeds
    torch.testing.assert_close(features / features.norm(dim=-1, keepdim=True), wanted)


def test_hidden_states_of_a_whole_clip_are_all_tokens(whole):
    out = mm.patch(whole, 3)(**call(), output_hidden_states=True)
    assert [state.shape[1] for state in out.vision_model_output.hidden_states] == [17] * 4
    assert [state.shape[1] for state in out.text_model_output.hidden_states] == [8] * 4


def test_both_towers_train(whole):
    out = mm.patch(whole.train(), 3)(**call(texts=2), return_loss=True)
    out.loss.backward()
    assert all(layer.self_attn.k_proj.weight.grad.any() for layer in layers(whole))
    assert whole.text_model.encoder.layers[0].self_attn.k_proj.weight.grad.any()


@pytest.mark.parametrize("options", [{}, {"prefix_tokens": 1}])
def test_a_text_model_is_refused(whole, options):
    text = whole.text_model
    assert ALONE in mm.supported(text).reason
    with pytest.raises(mm.MergeMixError, match=rf"^model: CLIPTextModel is not supported: .*{ALONE}; supported are"):
        mm.patch(text, 4, **options)
    assert not hasattr(text.encoder.layers[0], "merging")


@pytest.mark.parametrize("blocks", ["text_model.encoder.layers", "layers"])
def test_layers_of_texts_are_no_blocks_of_a_users_module(whole, blocks):
    module = whole if blocks.startswith("text") else whole.text_model.encoder
    with pytest.raises(mm.MergeMixError, match=f"^blocks: some of them cannot be patched: {ALONE}"):
        mm.patch(module, 4, blocks=blocks, prefix_tokens=1)
    layer = whole.text_model.encoder.layers[0]
    with pytest.raises(mm.MergeMixError, match="CLIPEncoderLayer is not supported: there is no merging class"):
        mm.patch(layer, 4, prefix_tokens=1)
    assert not hasattr(layer, "merging")


def test_a_users_module_of_both_towers_merges_in_the_one_of_images(whole):
    module = nn.ModuleDict({"text": whole.text_model, "image": whole.vision_model})
    mm.patch(module, 3)
    assert mm.merge_info(module).tokens == (17, 14, 11, 8)
    mm.unpatch(module)
    assert mm.patch(module, 3, blocks="image.encoder.layers") is module
    assert mm.merge_info(module).merges == (3, 3, 3)


def test_two_image_towers_must_be_told_apart(whole):
    module = nn.ModuleList([whole, build("hf clip")])
    with pytest.raises(mm.MergeMixError, match=r"one vision transformer, it holds 2: 0.vision_model, 1; pass one"):
        mm.patch(module, 3)


def test_a_classifier_averages_all_patches():
    model = mm.patch(build("hf clip, classes"), 3)
    x = call()["pixel_values"]
    with torch.no_grad():
        tokens = model.vision_model(x).last_hidden_state
        torch.testing.assert_close(model(x).logits, model.classifier(tokens[:, 1:].mean(dim=1)))
