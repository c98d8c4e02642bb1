"""What is around a model of transformers: adapters, saved models, copies, its Trainer, and timm's models inside it."""

from __future__ import annotations

import copy
import io

import pytest
import torch

import timm_mergemix as mm

from ...models import redraw
from ..families.hf.tiny import CLASSES, EACH, build, inputs, needs_transformers, output, set_checkpointing
from ..patched import assert_unchanged, snapshot
from ..reference import relative_error

pytestmark = needs_transformers
each_family = pytest.mark.parametrize("case", EACH)


def images(batch=2, seed=0):
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def adapted(model):
    """With LoRA whose second matrices are not zero, so that it changes what its layers make."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "k_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    return peft.get_peft_model(model, config).eval()


@each_family
def test_low_rank_adapters_may_come_before_the_patch_or_after(case):
    call = inputs(build(case), images())
    before = mm.patch(adapted(build(case)), 3)
    after = adapted(mm.patch(build(case), 3))
    plain = adapted(build(case))
    with torch.no_grad():
        unmerged, wanted = plain(**call).last_hidden_state, before(**call).last_hidden_state
        unadapted = mm.patch(build(case), 3)(**call).last_hidden_state
        assert relative_error(after(**call).last_hidden_state, wanted) <= 1e-5
        assert relative_error(wanted, unmerged) > 1e-3 and relative_error(wanted, unadapted) > 1e-3
        for model in (before, after):
            mm.unpatch(model)
            assert torch.equal(model(**call).last_hidden_state, unmerged)
            assert not any("mergemix" in type(module).__module__ for module in model.modules())
            assert not any(module._forward_hooks for module in model.modules())


def test_adapters_train_with_merging_and_checkpoints():
    model = adapted(mm.patch(build("hf vit"), 3)).train()
    inner, grads = model.base_model.model, []
    for enable in (False, True):
        set_checkpointing(inner, enable)
        assert inner.is_gradient_checkpointing is enable
        model.zero_grad()
        model(images()).last_hidden_state.square().sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and all("lora" in name for name in grads[0])
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])


@pytest.mark.parametrize("case", [*EACH, "hf vit, classes", "hf clip, whole"])
def test_a_saved_model_is_the_plain_one(case, tmp_path):
    model = build(case)
    plain = type(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    mm.patch(model, 3).save_pretrained(tmp_path)
    assert model.config.architectures == [plain.__name__]
    loaded, info = plain.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert type(loaded) is plain and loaded.config.architectures == [plain.__name__]
    assert loaded.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    assert not any("mergemix" in type(module).__module__ for module in loaded.modules())


@each_family
def test_copies_and_pickles_merge_by_themselves(case):
    model, x = mm.patch(build(case), 3), images()
    with torch.no_grad():
        wanted = output(model, x)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
            assert torch.equal(output(other, x), wanted)
            assert mm.merge_info(other, (64, 64)).merges == (3, 3, 3)
            mm.unpatch(other)
            assert not torch.allclose(output(other, x), wanted, atol=1e-3)
        assert torch.equal(output(model, x), wanted)


@each_family
def test_a_patch_that_saw_recorded_outputs_leaves_nothing(case):
    model = build(case)
    call = inputs(model, images())
    with torch.no_grad():
        wanted = model(**call, output_hidden_states=True).hidden_states
        before = snapshot(model)
        mm.patch(model, 3)(**call, output_hidden_states=True)
        mm.unpatch(model)
        assert_unchanged(before, model)
        assert all(map(torch.equal, model(**call, output_hidden_states=True).hidden_states, wanted))


@pytest.mark.parametrize(
    ("case", "r"), [("hf vit", 0), ("hf vit", 3), ("hf dinov2", 3), ("hf dinov3", 3), ("hf clip", 3), ("hf siglip2", 3)]
)
def test_a_patched_model_is_exported(case, r):
    """transformers makes a mask of all tokens for exporters, which says nothing."""
    model = mm.patch(build(case), r)
    call = inputs(model, images())
    exported = torch.export.export(model, (), call, strict=False).module()
    other = inputs(model, images(seed=1))
    with torch.no_grad():
        assert relative_error(exported(**other).last_hidden_state, model(**other).last_hidden_state) <= 1e-6


class Samples(torch.utils.data.Dataset):
    """Images with labels, as a Trainer takes them."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"pixel_values": images(1, seed=index)[0], "labels": index % CLASSES}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_trainer_trains_a_patched_classifier(tmp_path, checkpointing):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    model = mm.patch(build("hf vit, classes"), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "save_strategy": "epoch"}
    options |= {"num_train_epochs": 1, "per_device_train_batch_size": 4, "gradient_checkpointing": checkpointing}
    trainer = transformers.Trainer(
        model, transformers.TrainingArguments(str(tmp_path), **options), train_dataset=Samples()
    )
    with mm.record(model) as rec:
        assert trainer.train().training_loss > 0
    assert [layer.size.shape[1] for layer in rec.layers][-3:] == [14, 11, 8]
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert mm.merge_info(model).grad_checkpointing is checkpointing
    loaded = transformers.ViTForImageClassification.from_pretrained(tmp_path / "checkpoint-2")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["TimmWrapperModel", "TimmWrapperForImageClassification"])
def test_timms_models_merge_inside_transformers(name):
    transformers = pytest.importorskip("transformers")
    sizes = {"img_size": 64, "embed_dim": 48, "num_heads": 3, "depth": 3}
    config = transformers.TimmWrapperConfig(architecture="vit_tiny_patch16_224", num_labels=5, model_args=sizes)
    model = redraw(getattr(transformers, name)(config)).eval()
    x = images()
    with torch.no_grad():
        plain = model(x)
        plain = plain.logits if "logits" in plain else plain.last_hidden_state
        mm.patch(model, 3)
        merged = model(x)
        merged = merged.logits if "logits" in merged else merged.last_hidden_state
    assert merged.shape == plain.shape and relative_error(merged, plain) > 1e-3
    assert mm.supported(model).family == "timm VisionTransformer"
    mix = mm.MergeMix(model, 5, saliency_r=3)
    assert mix.mix(x, torch.arange(2)).images.shape == x.shape
    assert torch.equal(mm.saliency_map(model, x), mm.saliency_map(model.timm_model, x))
