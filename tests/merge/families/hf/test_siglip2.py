"""SigLIP 2 of transformers takes patches of images of any size, with padding that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone

from ...reference import relative_error, sequence_lengths
from .tiny import PATCH, build, inputs, layers, needs_transformers, set_checkpointing

pytestmark = needs_transformers
SIZES = [(64, 64), (48, 96), (32, 48), (80, 48)]
PATCHES = [16, 18, 6, 15]


def image(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def padded(model, sizes, length, value=7.0):
    """Images of several sizes as one batch, each padded by what must not be seen."""
    calls = [inputs(model, image(*size, seed=seed)) for seed, size in enumerate(sizes)]
    spare = [length - call["pixel_values"].shape[1] for call in calls]
    pixels = [
        F.pad(call["pixel_values"], (0, 0, 0, more), value=value) for call, more in zip(calls, spare, strict=True)
    ]
    masks = [F.pad(call["pixel_attention_mask"], (0, more)) for call, more in zip(calls, spare, strict=True)]
    shapes = torch.cat([call["spatial_shapes"] for call in calls])
    return {"pixel_values": torch.cat(pixels), "pixel_attention_mask": torch.cat(masks), "spatial_shapes": shapes}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("r", [0, [2, 0, 0], [0, 0, 2]])
def test_padding_merges_first_and_changes_nothing(r, attention):
    model = mm.patch(build("hf siglip2", attention), r)
    with torch.no_grad(), mm.record(model, attention=False) as rec:
        batch = model(**padded(model, SIZES, 30))
    assert sequence_lengths(rec.layers)[-1] == (30 if r == 0 else 28)
    assert rec.layers[-1].size.sum(dim=1).tolist() == PATCHES
    mm.unpatch(model)
    with torch.no_grad():
        for row, patches in enumerate(PATCHES):
            alone = model(**inputs(model, image(*SIZES[row], seed=row)))
            assert relative_error(batch.last_hidden_state[row : row + 1, :patches], alone.last_hidden_state) <= 2e-5
            assert relative_error(batch.pooler_output[row : row + 1], alone.pooler_output) <= 2e-5


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_an_image_without_padding_merges_as_it_does_alone(attention):
    model = mm.patch(build("hf siglip2", attention), 3)
    with torch.no_grad():
        batch = model(**padded(model, SIZES, 18))
        alone = model(**inputs(model, image(*SIZES[1], seed=1)))
    assert relative_error(batch.last_hidden_state[1:2], alone.last_hidden_state) <= 2e-5
    assert relative_error(batch.pooler_output[1:2], alone.pooler_output) <= 2e-5


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_what_padding_holds_does_not_matter(attention):
    model = mm.patch(build("hf siglip2", attention), 5)
    with torch.no_grad():
        some, other = (model(**padded(model, SIZES, 24, value)) for value in (0.0, 9.0))
    assert relative_error(some.pooler_output, other.pooler_output) <= 2e-5
    for row, patches in enumerate(PATCHES):
        tokens = (each.last_hidden_state[row, :patches] for each in (some, other))
        assert relative_error(*tokens) <= 2e-5


def test_the_mask_may_come_by_its_place():
    model = mm.patch(build("hf siglip2"), 2)
    call = padded(model, SIZES, 30)
    with torch.no_grad():
        wanted = model(**call).last_hidden_state
        got = model(call["pixel_values"], call["pixel_attention_mask"], call["spatial_shapes"]).last_hidden_state
    assert torch.equal(got, wanted)


def test_no_padding_is_left_for_the_next_call():
    model = mm.patch(build("hf siglip2"), 2)
    plain = inputs(model, image(64, 64))
    with torch.no_grad():
        wanted = model(**plain).last_hidden_state
        model(**padded(model, SIZES, 18))
        assert torch.equal(model(**plain).last_hidden_state, wanted)
        with pytest.raises(RuntimeError):
            model(**(padded(model, SIZES, 18) | {"pixel_values": torch.zeros(4, 18, 5)}))
        assert torch.equal(model(**plain).last_hidden_state, wanted)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_of_a_padded_batch_change_no_gradient(reentrant):
    model = mm.patch(build("hf siglip2").train(), 4)
    weight, grads = layers(model)[0].self_attn.k_proj.weight, []
    for enable in (False, True):
        set_checkpointing(model, enable, **({"use_reentrant": reentrant} if enable else {}))
        model.zero_grad()
        model(**padded(model, SIZES, 30)).pooler_output.square().sum().backward()
        grads.append(weight.grad)
    assert grads[0].any() and grads[0].isfinite().all() and torch.equal(*grads)


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_a_saliency_pass_makes_patches_as_the_image_processor_does(size):
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    model, seen = build("hf siglip2"), []
    model.embeddings.register_forward_pre_hook(lambda module, args: seen.append(args))
    x = torch.cat([image(*size), image(*size, seed=1)])
    with torch.no_grad():
        find_backbone(model).run(x)
    patches, shapes = seen[0]
    wanted = np.stack([convert_image_to_patches(each.numpy(), PATCH) for each in x])
    assert np.array_equal(patches.numpy(), wanted)
    assert shapes.tolist() == [[size[0] // PATCH, size[1] // PATCH]] * 2
    assert mm.saliency_map(model, x).shape == (2, size[0] // PATCH, size[1] // PATCH)


def test_a_whole_siglip2_merges_its_images_alone():
    model = build("hf siglip2, whole")
    call = inputs(model, image(64, 64)) | {"input_ids": torch.arange(8)[None]}
    with torch.no_grad():
        plain = model(**call)
        with mm.merging(model, 3), mm.record(model) as rec:
            merged = model(**call)
    assert torch.equal(plain.text_embeds, merged.text_embeds)
    assert relative_error(merged.image_embeds, plain.image_embeds) > 1e-4
    assert sequence_lengths(rec.layers) == [13, 10, 7]


def test_a_classifier_averages_the_patches_that_are_some():
    model = mm.patch(build("hf siglip2, classes"), 3)
    call = padded(model, SIZES, 20)
    with torch.no_grad():
        tokens, logits = model.vision_model(**call).last_hidden_state, model(**call).logits
    wanted = torch.stack([tokens[row, :count].mean(dim=0) for row, count in enumerate(PATCHES)])
    torch.testing.assert_close(logits, model.classifier(wanted))
