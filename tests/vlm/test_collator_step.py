"""PairCollator and SequencePreferenceStep make the same losers for a model with plain images."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix.vlm import ImageMixer, PairCollator, SequencePreferenceStep

from ..merge.vlm.models import llava
from ..mix.batches import noise
from .made import seeded
from .questions import gradients, questions


def process(images):
    """Pixels in 0..255 -> in -1..1, as CLIP's processor does with a mean and standard deviation of 0.5."""
    return (torch.stack(images).float() / 255 - 0.5) / 0.5


@pytest.mark.parametrize("kind", ["mergemix", "random", "cutmix"])
def test_a_collator_and_a_step_make_the_same_losers(kind):
    model, text = llava(), questions()
    images = list(noise(4, 3, 32, 32, dtype=torch.uint8))
    rows = [{"image": image, "row": row} for row, image in enumerate(images)]

    def collate(examples):
        numbers = [each["row"] for each in examples]
        names = ("input_ids", "attention_mask", "labels")
        return {name: text[name][numbers] for name in names} | {"pixel_values": process([e["image"] for e in examples])}

    def mixer(**options):
        encoder = model if kind != "cutmix" else None
        return ImageMixer(encoder, kind, generator=seeded(), leave_out=(), saliency_r=None, **options)

    statistics = {"encoder_mean": (0.5,), "encoder_std": (0.5,)}
    batch = PairCollator(collate, mixer(**statistics))(rows)
    brought = SequencePreferenceStep(model, None)(batch)
    made = SequencePreferenceStep(model, mixer(), saliency="separate")(collate(rows))
    assert torch.equal(brought.losers.inputs["pixel_values"], made.losers.inputs["pixel_values"])
    assert torch.equal(brought.losers.ratio, made.losers.ratio) and made.losers.rows.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(brought.terms, made.terms, rtol=1e-4, atol=1e-5)
    grads = [gradients(model, output.terms.total) for output in (brought, made)]
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)
