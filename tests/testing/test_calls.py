"""MixerCall seeds every source of random numbers and passes copies with the memory layout of the originals."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from timm_mergemix.testing.calls import MixerCall
from timm_mergemix.testing.properties import RefusedError

IMAGES, LABELS = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])


class Drawing:
    """Returns random numbers from every source, and keeps its arguments."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.given = images
        drawn = [random.random(), np.random.rand(), torch.rand(()), torch.rand((), generator=self.generator)]
        return torch.tensor(drawn), labels


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_a_seed_sets_all_sources(generator: torch.Generator | None) -> None:
    call = MixerCall(Drawing(generator), 5)
    first, again, other = (call(IMAGES, LABELS, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and (first != other).all()
    numpy_alone = call(IMAGES, LABELS, 3, others=4)[0]
    assert torch.equal(numpy_alone[:2], other[:2]) and torch.equal(numpy_alone[2:], first[2:])


def test_copies_have_the_memory_layout_of_the_originals() -> None:
    mixer = Drawing()
    wide = torch.rand(2, 3, 4, 8)
    for images in (IMAGES, IMAGES.contiguous(memory_format=torch.channels_last), wide[..., ::2], IMAGES.mT):
        MixerCall(mixer, 5)(images, LABELS, 0)
        assert mixer.given.stride() == images.stride() and torch.equal(mixer.given, images)
        assert mixer.given.data_ptr() != images.data_ptr()
        MixerCall(mixer, 5).on_given(images, LABELS, 0)
        assert mixer.given is images


def test_an_error_of_the_mixer_becomes_a_refusal_with_its_cause() -> None:
    with pytest.raises(RefusedError) as raised:
        MixerCall(lambda images, labels: 1 / 0, 5)(IMAGES, LABELS, 0)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("found", [IMAGES, (IMAGES,), (IMAGES, 3), {"images": IMAGES, "targets": LABELS}])
def test_returning_anything_but_two_tensors_is_a_fault(found: object) -> None:
    with pytest.raises(AssertionError, match=f"it returns {type(found).__name__}, not images and targets"):
        MixerCall(lambda images, labels: found, 5)(IMAGES, LABELS, 0)
