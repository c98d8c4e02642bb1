"""Measures of MergeMix and CutMix pairs are comparable between models, and left out if there are no pairs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.study.pairs import measure_pairs
from benchmarks.study.places import HERE
from timm_mergemix import MergeMixError
from timm_mergemix.mixers.registry import create_mixer
from timm_mergemix.training.pairs import evaluate_pairs

from .made import set_up, small_model

CPU = torch.device("cpu")
NAMES = {"accuracy", "margin", "faint_accuracy", "faint_margin", "correlation", "count"}


def test_measures_of_both_kinds_of_pairs_are_reproducible() -> None:
    setup = set_up(0, CPU, HERE)
    state = torch.get_rng_state()
    found = measure_pairs(setup.model, setup.val.pairs, 2, CPU)
    assert found == measure_pairs(setup.model, setup.val.pairs, 2, CPU)
    assert torch.equal(state, torch.get_rng_state())
    assert {name.partition("_")[2] for name in found} <= NAMES
    assert {"mergemix_accuracy", "mergemix_margin", "cutmix_accuracy", "cutmix_margin"} <= set(found)


def test_measures_of_cutmix_pairs_agree_with_the_metric() -> None:
    setup = set_up(0, CPU, HERE)
    mixer = create_mixer("cutmix", num_classes=2, mode="elem", generator=torch.Generator().manual_seed(1))
    wanted = evaluate_pairs(setup.model, mixer, setup.val.pairs, CPU)
    found = measure_pairs(setup.model, setup.val.pairs, 2, CPU)
    assert (found["cutmix_margin"], found["cutmix_count"]) == (wanted.margin, wanted.count)


def test_images_of_one_class_have_no_pairs() -> None:
    setup = set_up(0, CPU, HERE)
    one_class = [(images, torch.zeros_like(labels)) for images, labels in setup.val.pairs]
    assert measure_pairs(setup.model, one_class, 2, CPU) == {}


def test_a_model_whose_attention_cannot_be_read_is_refused() -> None:
    with pytest.raises(MergeMixError, match="encoder"):
        measure_pairs(torch.nn.Flatten(), set_up(0, CPU, HERE).val.pairs, 2, CPU)


def test_pairs_are_measured_in_half_precision_if_the_task_is() -> None:
    seen = set()
    model = small_model()
    model.head.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
    measure_pairs(model, set_up(0, CPU, HERE).val.pairs, 2, CPU, amp=True)
    assert seen == {torch.bfloat16}
