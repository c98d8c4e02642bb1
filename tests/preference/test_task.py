"""MergeMixTask, a training task for timm."""

from __future__ import annotations

import copy

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import PreferenceLoss, PreferenceStep

from ..models import images, tiny

pytest.importorskip("timm.task", reason="this timm has no timm.task")

LABELS = torch.tensor([0, 1, 2, 3])


def build(model, mixing=None, **options):
    mix = mm.MergeMix(model, num_classes=10, mergemix_prob=1.0, **(mixing or {}))
    return mm.MergeMixTask(model, mix, verbose=False, **options)


def test_the_task_returns_the_terms_of_a_preference_step():
    model = mm.patch(tiny(), 2)
    task = build(model)
    torch.manual_seed(0)
    result = task(images(model, 4), LABELS)
    torch.manual_seed(0)
    output = PreferenceStep(model, task.mixer, PreferenceLoss())(images(model, 4), LABELS)
    assert torch.equal(result["loss"], output.terms.total)
    assert torch.equal(result["output"], output.logits)
    assert torch.equal(result["reward_margin"], output.terms.reward_margin)
    names = {"loss", "output", "soft_target", "preference", "reward_margin", "preference_accuracy"}
    assert set(result) == names
    result["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_ema_evaluation_and_checkpoints_use_the_model():
    model = mm.patch(tiny(), 2)
    task = build(model)
    assert task.get_eval_model() is model
    task.setup_ema(decay=0.5)
    task.update_ema()
    state = task.get_checkpoint_state()["state_dict"]
    assert state.keys() == tiny().state_dict().keys()
    assert set(task.state_dict()) >= {f"trainable_module.{key}" for key in state}


def test_the_reference_is_not_part_of_the_task():
    model = tiny()
    reference = copy.deepcopy(model)
    task = build(model, loss=PreferenceLoss(variant="dpo"), reference=reference)
    assert not any(parameter is other for parameter in task.parameters() for other in reference.parameters())
    task(images(model, 4), LABELS)["loss"].backward()


def test_the_task_compiles():
    torch._dynamo.reset()
    model = mm.patch(tiny(), 2)
    torch.manual_seed(0)
    wanted = build(model)(images(model, 4), LABELS)["loss"]
    task = build(model)
    assert task.compile(backend="eager") is task.get_eval_model()
    torch.manual_seed(0)
    torch.testing.assert_close(task(images(model, 4), LABELS)["loss"], wanted)


def test_a_distributed_task_trains_like_a_plain_one(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = mm.patch(tiny(), 2)
        # The plain task reads the winner's pass, the distributed one runs a separate pass: both merge alike here.
        alike = {"saliency_r": None}
        torch.manual_seed(0)
        wanted = build(model, alike)(images(model, 4), LABELS)
        wanted["loss"].backward()
        grads = [parameter.grad.clone() for parameter in model.parameters()]
        model.zero_grad()
        task = build(model, alike).prepare_distributed()
        torch.manual_seed(0)
        result = task(images(model, 4), LABELS)
        result["loss"].backward()
        torch.testing.assert_close(result["loss"], wanted["loss"])
        torch.testing.assert_close([parameter.grad for parameter in model.parameters()], grads, rtol=1e-3, atol=1e-5)
        with pytest.raises(mm.MergeMixError, match="DistributedDataParallel allows one forward pass per step"):
            build(model, saliency="winner").prepare_distributed()
    finally:
        torch.distributed.destroy_process_group()
