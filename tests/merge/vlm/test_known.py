"""Which vision-language models are refused, and why; what is known of a module that holds one."""

import sys

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix.merge.vlm.known import find_reader, is_reader

from .models import VISION, R, llava, llava_config, paligemma, perception_lm, prompts, transformers


def refusal(model):
    support = mm.supported(model)
    with pytest.raises(mm.MergeMixError, match="is not supported"):
        mm.patch(model, 2)
    return support.reason


@pytest.mark.parametrize("make", [llava, paligemma, perception_lm])
def test_known_models_are_supported_as_their_vision_model(make):
    assert mm.supported(make())
    assert is_reader(make())


def test_the_outermost_model_is_meant():
    model = llava()
    holder = nn.ModuleDict({"model": model})
    assert find_reader(holder) is model
    assert find_reader(model.model) is model.model
    assert find_reader(model.model.vision_tower) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vision_feature_layer": [-2, -3]}, "it reads several layers"),
        ({"vision_feature_layer": 0}, "before the first layer"),
    ],
)
def test_layers_that_give_no_one_number_of_tokens_are_refused(options, reason):
    assert reason in refusal(llava(**options))


def test_a_projector_that_pools_is_refused_and_its_vision_model_is_not():
    model = perception_lm(pooling=2)
    assert "its projector pools 2 x 2 patches" in refusal(model)
    pixels = prompts("perception_lm", [1])["pixel_values"]
    with torch.no_grad():
        before = model.model.get_image_features(pixels).pooler_output
        mm.patch(model.model.vision_tower, 3)
        after = model.model.get_image_features(pixels).pooler_output
    assert after.shape == before.shape
    assert not torch.equal(after, before)


def test_an_unknown_vision_model_is_named():
    vision = transformers.PixtralVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8
    )
    model = transformers.LlavaForConditionalGeneration(llava_config(vision))
    assert refusal(model) == "its vision model is a PixtralVisionModel, for which there is no merging class"


@pytest.mark.parametrize(("token", "reason"), [(None, "image_token_id=None"), (100, "no row in the table of 100")])
def test_a_token_for_images_that_cannot_be_is_refused(token, reason):
    model = llava()
    model.config.image_token_id = token
    assert reason in refusal(model)


def test_a_first_token_that_is_a_patch_must_not_be_dropped():
    vision = transformers.SiglipVisionConfig(**VISION)
    assert "it drops the first token" in refusal(transformers.LlavaForConditionalGeneration(llava_config(vision)))
    whole = llava_config(vision, vision_feature_select_strategy="full")
    assert mm.supported(transformers.LlavaForConditionalGeneration(whole))


def test_models_that_need_the_grid_afterwards_are_refused():
    text = {
        "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 64, "vocab_size": 100,
    }  # fmt: skip
    clip = transformers.CLIPVisionConfig(**VISION)
    models = {
        "LlavaNext": transformers.LlavaNextForConditionalGeneration(
            transformers.LlavaNextConfig(vision_config=clip, text_config=transformers.LlamaConfig(**text))
        ),
        "Qwen2VL": transformers.Qwen2VLForConditionalGeneration(
            transformers.Qwen2VLConfig(
                text_config={
                    **text,
                    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 4], "rope_theta": 1e4},
                },
                vision_config={"depth": 1, "embed_dim": 32, "num_heads": 4, "hidden_size": 48},
            )
        ),
    }
    for name, model in models.items():
        reason = refusal(model)
        assert "grid" in reason, name
        assert "gives all tokens back" in reason


def test_blocks_that_are_named_give_all_tokens_back():
    model, batch = llava(), prompts("llava", [1, 1])
    mm.patch(model.model.vision_tower, 2)
    with torch.no_grad():
        assert model(**batch).logits.shape == (2, batch["input_ids"].shape[1], 100)


def test_old_releases_are_not_known(monkeypatch):
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "5.17.0")
    assert not is_reader(llava())


def test_unpatching_a_holder_unpatches_the_model_in_it():
    model = llava()
    holder = nn.ModuleDict({"model": model})
    mm.patch(holder, R["llava"])
    assert "merging" in vars(model)
    mm.unpatch(holder)
    assert "merging" not in vars(model)
