"""`MergeMixTrainer`, and the mixin with TRL's trainer: adapters, precision, checkpointing, several processes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import vlm

from ..merge.vlm.models import PATCHES
from .trainers import FixedMixer, Questions, collate, llava, make_trainer, transformers, weights_of

ROOT = Path(__file__).parents[2]


def logs_of(trainer):
    return [line for line in trainer.state.log_history if "loss" in line]


@pytest.mark.parametrize("kind", ["mergemix", "random", "cutmix", "mixup", "resizemix"])
def test_every_kind_trains(tmp_path, kind):
    model = llava()
    before = weights_of(model)
    mixer = vlm.ImageMixer(model if kind in ("mergemix", "random") else None, kind, leave_out=())
    trainer = make_trainer(tmp_path, model, mixer, learning_rate=1e-2)
    trainer.train()
    assert all(math.isfinite(line["preference_loss"]) for line in logs_of(trainer))
    assert not torch.equal(weights_of(model), before)


@pytest.mark.parametrize("variant", ["hinge", "dpo"])
def test_hinge_and_dpo_train(tmp_path, variant):
    reference = llava() if variant == "dpo" else None
    loss = vlm.SequencePreferenceLoss(variant=variant, beta=0.5)
    trainer = make_trainer(tmp_path, preference=loss, reference=reference, mixer=FixedMixer())
    before = None if reference is None else weights_of(reference)
    trainer.train()
    first = logs_of(trainer)[0]
    assert math.isfinite(first["preference_loss"])
    if reference is not None:
        assert torch.equal(weights_of(reference), before)


def test_the_preference_is_learnt(tmp_path):
    loss = vlm.SequencePreferenceLoss(weight=2.0)
    options = {"max_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 2e-3, "optim": "adamw_torch"}
    trainer = make_trainer(tmp_path, mixer=FixedMixer(), preference=loss, **options)
    trainer.train()
    first, last = logs_of(trainer)[0], logs_of(trainer)[-1]
    assert last["preference_accuracy"] == 1 and last["reward_margin"] > first["reward_margin"] + 1
    assert last["preference_loss"] < 0.7 * first["preference_loss"]


def test_a_patched_model_trains_with_half_of_its_image_tokens(tmp_path):
    model = mm.patch(llava(), ("total", PATCHES // 2))
    trainer = make_trainer(tmp_path, model)
    trainer.train()
    assert math.isfinite(logs_of(trainer)[-1]["preference_loss"])
    mm.unpatch(model)
    assert type(model) is transformers.LlavaForConditionalGeneration


@pytest.mark.parametrize("order", ["adapters first", "patch first", "unpatched"])
def test_only_adapters_are_trained(tmp_path, order):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2)
    model = llava()
    if order == "patch first":
        mm.patch(model, ("total", 8))
    base = weights_of(model)
    wrapped = peft.get_peft_model(model, config)
    if order == "adapters first":
        mm.patch(wrapped, ("total", 8))
    trainer = make_trainer(tmp_path, wrapped, vlm.ImageMixer(wrapped, leave_out=()), learning_rate=1.0)
    trainer.train()
    names = {name for name, each in wrapped.named_parameters() if each.requires_grad}
    assert names and all("lora" in name for name in names)
    after = torch.cat([each.detach().flatten() for name, each in wrapped.named_parameters() if "lora" not in name])
    assert torch.equal(after, base)
    assert any((each != 0).any() for name, each in wrapped.named_parameters() if "lora_B" in name)


def test_bfloat16_computes_the_loss_in_float32(tmp_path):
    plain, half = (make_trainer(tmp_path, mixer=FixedMixer(), bf16=bf16) for bf16 in (False, True))
    for trainer in (plain, half):
        trainer.train()
    for name in ("answer_loss", "preference_loss", "reward_margin"):
        assert logs_of(half)[0][name] == pytest.approx(logs_of(plain)[0][name], rel=0.1, abs=0.02)
        assert logs_of(half)[0][name] != logs_of(plain)[0][name]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("r", [0, ("total", 8)])
def test_gradient_checkpointing_takes_the_same_step(tmp_path, reentrant, r):
    weights = []
    for checkpointing in (False, True):
        model = mm.patch(llava(), r)
        trainer = make_trainer(
            tmp_path, model, gradient_checkpointing=checkpointing, max_steps=1,
            gradient_checkpointing_kwargs={"use_reentrant": reentrant},
        )  # fmt: skip
        trainer.train()
        weights.append(weights_of(model))
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-5)


SCRIPT = """
import sys
import torch
from tests.vlm.trainers import FixedMixer, Questions, make_trainer, vlm, weights_of, llava

folder, kind, accumulated = sys.argv[1:]
model = llava()
mixer = FixedMixer() if kind == "fixed" else vlm.ImageMixer(model, leave_out=())
trainer = make_trainer(
    folder, model, mixer, max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=int(accumulated),
    ddp_backend="gloo", learning_rate=0.01,
)
trainer.train()
torch.save(
    {"weights": weights_of(model), "logs": trainer.state.log_history, "seen": trainer.mergemix.mixer.seen},
    f"{folder}/{trainer.args.process_index}.pt",
)
"""


def run_two(folder, kind, accumulated):
    """Runs two processes that exchange gradients with gloo, and returns what each saved."""
    port = str(20000 + os.getpid() % 20000)
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), kind, str(accumulated)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors[0][-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_two_processes_take_the_same_step_as_one(tmp_path, accumulated):
    first, second = run_two(tmp_path, "fixed", accumulated)
    assert torch.equal(first["weights"], second["weights"])
    alone = make_trainer(
        tmp_path, mixer=FixedMixer(), per_device_train_batch_size=4, gradient_accumulation_steps=accumulated,
        learning_rate=0.01,
    )  # fmt: skip
    alone.train()
    torch.testing.assert_close(first["weights"], weights_of(alone.model), rtol=1e-3, atol=1e-4)
    for name in ("answer_loss", "preference_loss", "reward_margin", "mix_ratio", "left_out"):
        assert first["logs"][0][name] == pytest.approx(logs_of(alone)[0][name], rel=1e-3)


def test_two_processes_with_mergemix_stay_in_sync(tmp_path):
    first, second = run_two(tmp_path, "mergemix", 1)
    assert torch.equal(first["weights"], second["weights"])
    assert first["seen"] == second["seen"] == 4
    assert math.isfinite(first["logs"][0]["preference_loss"])


def test_the_mixin_works_with_the_trainer_of_trl(tmp_path):
    trl = pytest.importorskip("trl", minversion="1.16")
    datasets = pytest.importorskip("datasets")

    class MergeMixSFTTrainer(vlm.MergeMixMixin, trl.SFTTrainer):
        pass

    model = llava()
    args = trl.SFTConfig(
        str(tmp_path), per_device_train_batch_size=4, gradient_accumulation_steps=2, max_steps=1, logging_steps=1,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True, learning_rate=1.0, optim="sgd",
        max_grad_norm=0.0, lr_scheduler_type="constant", bf16=False, gradient_checkpointing=False, seed=3,
        remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None,
    )  # fmt: skip
    trainer = MergeMixSFTTrainer(
        model=model, args=args, train_dataset=datasets.Dataset.from_dict({"number": list(range(8))}),
        data_collator=lambda rows: collate([Questions()[row["number"]] for row in rows]), processing_class=tokenizer(),
        mixer=FixedMixer(),
    )  # fmt: skip
    trainer.train()
    plain = make_trainer(tmp_path, mixer=FixedMixer(), gradient_accumulation_steps=2, max_steps=1, learning_rate=1.0)
    plain.train()
    torch.testing.assert_close(weights_of(model), weights_of(plain.model), rtol=1e-3, atol=1e-4)
    for name in ("answer_loss", "preference_loss", "reward_margin", "preference_accuracy", "left_out"):
        assert logs_of(trainer)[0][name] == pytest.approx(logs_of(plain)[0][name], rel=1e-3)
    assert "entropy" in logs_of(trainer)[0]


def tokenizer():
    """A tokenizer with as many words as the model's vocabulary."""
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({f"w{i}": i for i in range(100)}, unk_token="w3"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="w0", bos_token="w1", eos_token="w2", unk_token="w3"
    )
