"""A step refuses bad input by name, before anything has happened."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.vlm import SequencePreferenceLoss, SequencePreferenceStep

from ..merge.vlm.models import llava
from ..mix.batches import noise
from ..models import tiny
from .made import example
from .questions import counted, mixer_of, questions, step_of

BOTH = ("winner", "separate")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda model: mixer_of(model, "cutmix"), "the mixer reads no attention"),
        (lambda model: mixer_of(model, "random"), "the mixer reads no attention"),
        (lambda model: mixer_of(tiny()), "the mixer's encoder is not in the model"),
        (lambda model: None, "the mixer reads no attention"),
        (lambda model: mixer_of(mm.patch(model, 2, prop_attn=False)), "merges without proportional attention"),
    ],
)
def test_saliency_winner_is_refused_with_a_reason_if_its_pass_cannot_be_read(make, reason):
    model = llava()
    mixer = make(model)
    assert SequencePreferenceStep(model, mixer).saliency == "separate"
    with pytest.raises(MergeMixError, match=f"^saliency: got 'winner', wanted 'separate', since .*{reason}"):
        SequencePreferenceStep(model, mixer, saliency="winner")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": lambda x: x}, r"^model: got .*, wanted a torch.nn.Module"),
        ({"mixer": mm.Mixup(num_classes=3)}, r"^mixer: got .*, wanted a timm_mergemix.vlm.ImageMixer, or None"),
        ({"loss": mm.PreferenceLoss()}, "^loss: got .*, wanted a timm_mergemix.vlm.SequencePreferenceLoss"),
        ({"saliency": "loser"}, "^saliency: got 'loser', wanted one of 'winner', 'separate'"),
        ({"loss": SequencePreferenceLoss(variant="dpo")}, "^reference: got None, wanted a frozen model"),
        ({"reference": nn.Identity()}, "^reference: got .*, wanted None, since the variant is 'simpo'"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(MergeMixError, match=message):
        SequencePreferenceStep(**({"model": nn.Identity(), "mixer": None} | arguments))


def test_the_model_as_its_own_reference_is_refused():
    model = llava()
    with pytest.raises(MergeMixError, match=r"^reference: got .*, wanted a frozen copy of the model"):
        SequencePreferenceStep(model, None, SequencePreferenceLoss(variant="dpo"), reference=model)


def bad_batches():
    good = questions()
    yield "labels", {name: value for name, value in good.items() if name != "labels"}
    yield "labels", good | {"labels": good["labels"].float()}
    yield "pixel_values", good | {"pixel_values": noise(4, 48)}
    yield "pixel_values", good | {"pixel_values": list(good["pixel_values"])}
    yield "input_ids", good | {"pixel_values": good["pixel_values"][:3]}
    yield "image_id", good | {"image_id": [1, 2]}
    yield "losers", good | {"losers": [1]}
    yield "batch", list(good)


@pytest.mark.parametrize(("argument", "batch"), list(bad_batches()))
@pytest.mark.parametrize("saliency", BOTH)
def test_a_bad_batch_is_refused_before_anything_happens(saliency, argument, batch):
    model = llava()
    sizes, step = counted(model), step_of(model, saliency=saliency)
    step.mixer.pair([example(1, shape=(3, 32, 32))])
    before = step.mixer.generator.get_state(), len(step.mixer.recent), step.mixer.seen
    with pytest.raises(MergeMixError, match=f"^{argument}: got"):
        step(batch)
    after = step.mixer.generator.get_state(), len(step.mixer.recent), step.mixer.seen
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:] and sizes == []


def test_a_missing_mixer_or_tokenizer_is_refused_by_name():
    with pytest.raises(MergeMixError, match=r"^mixer: got None, wanted an ImageMixer, since the batch does not bring"):
        SequencePreferenceStep(llava(), None)(questions())
    with pytest.raises(MergeMixError, match=r"^tokenizer: got None, wanted the tokenizer of the labels"):
        step_of(leave_out=None)(questions())
