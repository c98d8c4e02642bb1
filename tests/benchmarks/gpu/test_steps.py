"""Steps run, and each arm is the model that its name says."""

from pathlib import Path

import pytest
import torch

import timm_mergemix as mm
from benchmarks.gpu.rows import SMOKE
from benchmarks.gpu.steps import ARMS, MIXERS, arm, batch_of, captured, infer, mix, train
from timm_mergemix import MergeMixError

CPU = torch.device("cpu")
MODEL = SMOKE.models[0]


def test_arms_have_the_same_weights_and_merge_or_not() -> None:
    plain, merged, folded = (arm(name, MODEL, CPU, None) for name in ARMS[:3])
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), merged.parameters(), strict=True))
    assert type(plain) is not type(merged) is type(folded)
    assert mm.merge_info(merged).merges == (2, 2)


def test_the_published_patch_comes_from_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="facebookresearch/ToMe"):
        arm("published", MODEL, CPU, tmp_path)


@pytest.mark.parametrize("name", ARMS[:3])
def test_inference_and_training_steps_run(name: str) -> None:
    images, labels = batch_of(MODEL, 2, CPU)
    infer(name, arm(name, MODEL, CPU, None), images, "eager")()
    model = arm(name, MODEL, CPU, None)
    before = [parameter.clone() for parameter in model.parameters()]
    train(name, model, images, labels, "eager")()
    assert not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", MIXERS)
def test_mixing_steps_run(name: str) -> None:
    images, labels = batch_of(MODEL, 2, CPU)
    for whole in (False, True):
        mix(name, arm(name, MODEL, CPU, None), images.clone(), labels, whole)()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_captured_step_is_replayed() -> None:
    x = torch.zeros(3, device="cuda")
    captured(lambda: x.add_(1))()
    assert x.tolist() == [4.0] * 3  # three runs before, one replay
