"""The Hugging Face Trainer recipe of docs/guide/trainer.md."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

import timm_mergemix as mm

from .page import NUM_CLASSES, SIZE, NamedColoured, NamedSamples, R, check_passes, recipe, watch, weights_differ

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
if not hasattr(transformers, "TimmWrapperForImageClassification"):
    pytest.skip("this transformers has no wrapper of timm's models", allow_module_level=True)

NAME = "vit_tiny_patch16_224"


@pytest.fixture
def page(tmp_path):
    return recipe("trainer", tmp_path)


def build(page, folder, seed=0, eval_r=0, data=None, merging=None, **options):
    """A trainer for two epochs of four steps."""
    torch.manual_seed(seed)
    data = data or NamedSamples()
    model = page.build_model(NAME, NUM_CLASSES, **({"r": R} if merging is None else merging), **SIZE)
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "save_strategy": "no", "logging_steps": 1}
    args = transformers.TrainingArguments(str(folder / "out"), **(quiet | settings | options))
    return page.build_trainer(model, args, data, data, eval_r=eval_r)


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def keep_mixes(trainer):
    mixes, draw = [], trainer.mix.mix

    def mix(*args):
        batch = draw(*args)
        mixes.append((batch.kind, batch.ratio.tolist()))
        return batch

    trainer.mix.mix = mix
    return mixes


def plain():
    config = transformers.TimmWrapperConfig(architecture=NAME, num_labels=NUM_CLASSES, model_args=SIZE)
    return transformers.TimmWrapperForImageClassification(config)


def test_the_recipe_trains(page, tmp_path):
    trainer = build(page, tmp_path)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.train()
    assert len(losses(trainer)) == 8
    assert all(math.isfinite(loss) for loss in losses(trainer))
    assert not torch.equal(before["timm_model.head.weight"], trainer.model.state_dict()["timm_model.head.weight"])
    assert not list(tmp_path.glob("out/*"))


def test_it_learns_with_the_merging_that_is_its_default(page, tmp_path):
    options = {"num_train_epochs": 4, "per_device_train_batch_size": 8, "learning_rate": 2e-3, "logging_steps": 100}
    trainer = build(page, tmp_path, data=NamedColoured(), merging={}, **options)
    trainer.train()
    found = trainer.predict(NamedColoured(100, seed=3))
    assert (found.predictions.argmax(axis=1) == found.label_ids).mean() > 0.8  # chance is 0.2
    assert mm.merge_info(trainer.model).tokens[-1] == 9, "half of 16 patches and the class token"


@pytest.mark.parametrize(("eval_r", "merges"), [(0, (0, 0, 0)), (None, (R, R, R))])
def test_only_training_mixes_and_evaluation_merges_as_asked(page, tmp_path, eval_r, merges):
    trainer = build(page, tmp_path, eval_r=eval_r, eval_strategy="epoch")
    passes = watch(trainer.model.timm_model)
    trainer.train()
    check_passes(passes, (R, R, R), merges)
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    assert trainer.predict(NamedSamples()).predictions.shape == (16, NUM_CLASSES)
    assert {p.merges for p in passes if not p.training} == {merges}
    assert mm.merge_info(trainer.model).merges == (R, R, R)


def test_a_checkpoint_has_the_keys_of_the_unpatched_model(page, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    trainer = build(page, tmp_path)
    trainer.save_model(tmp_path / "saved")
    plain().save_pretrained(tmp_path / "plain")
    saved, wanted = (safetensors.load_file(tmp_path / name / "model.safetensors") for name in ("saved", "plain"))
    assert saved.keys() == wanted.keys()
    assert trainer.model.state_dict().keys() == plain().state_dict().keys()
    loaded = transformers.TimmWrapperForImageClassification.from_pretrained(tmp_path / "saved")
    assert type(loaded.timm_model) is type(plain().timm_model)
    assert weights_differ(loaded, trainer.model) == []


@pytest.mark.parametrize("step", [4, 6])
def test_a_resumed_run_mixes_as_the_uninterrupted_one(page, tmp_path, step):
    """From the end of an epoch, and from the middle of one; there some releases take the images in another order."""
    whole = build(page, tmp_path, save_strategy="steps", save_steps=2)
    wanted = keep_mixes(whole)
    whole.train()
    resumed = build(page, tmp_path / "other", seed=1)
    got = keep_mixes(resumed)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{step}"))
    assert len({str(mix) for mix in wanted}) > 4
    assert got == wanted[step:]
    if step == 4:
        assert losses(whole) == losses(resumed)
        assert weights_differ(whole.model, resumed.model) == []


def test_accumulated_gradients_are_a_mean(page, tmp_path):
    trainer = build(page, tmp_path, gradient_accumulation_steps=2)
    trainer.train()
    assert len(losses(trainer)) == 4
    assert all(loss < 1.5 * math.log(NUM_CLASSES) for loss in losses(trainer))


def test_each_process_and_step_draws_its_own_numbers(page):
    generator = torch.Generator()
    seed = page.SeedMixes(generator)
    drawn = set()
    for step, process in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]:
        args = SimpleNamespace(seed=42, process_index=process)
        seed.on_step_begin(args, SimpleNamespace(global_step=step), None)
        drawn.add(torch.randint(2**63 - 1, (), generator=generator).item())
    assert len(drawn) == 4
