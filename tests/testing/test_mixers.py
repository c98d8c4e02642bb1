"""check_mixer names planted faults with a small case, accepts correct mixers, and is reproducible."""

from __future__ import annotations

import random

import numpy as np
import pytest
import timm.data
import torch
from torchvision.transforms import v2

import timm_mergemix as mm
from timm_mergemix.testing import InvariantError, check_mixer
from timm_mergemix.testing.mixers import mixing_failures

from . import faulty

# Each fault with the invariant that finds it, and the number of images and the dtype of the smallest batch.
FAULTS = [
    (faulty.DrawnLambda, "targets say what is shown", 2, torch.float32),
    (faulty.WrongPartner, "targets say what is shown", 3, torch.float32),
    (faulty.SwappedShares, "targets say what is shown", 2, torch.float32),
    (faulty.TruncatedBytes, "targets say what is shown", 2, torch.uint8),
    (faulty.InPlace, "inputs stay", 1, torch.float32),
    (faulty.LabelsInPlace, "inputs stay", 2, torch.float32),
    (faulty.OtherDtype, "same shape and dtype", 1, torch.uint8),
    (faulty.NoRows, "same shape and dtype", 1, torch.float32),
    (faulty.SmoothedTwice, "targets are distributions", 1, torch.float32),
    (faulty.NegativeTargets, "targets are distributions", 1, torch.float32),
    (faulty.NotANumberInTargets, "targets are distributions", 2, torch.float32),
    (faulty.SmoothedByRow, "equal labels stay", 2, torch.float32),
    (faulty.Overflow, "pixels are between", 1, torch.uint8),
    (faulty.Brighter, "pixels are between", 1, torch.float32),
    (faulty.NotANumber, "equal images stay", 1, torch.float32),
    (faulty.AcrossChannels, "channels stay apart", 1, torch.float32),
    (faulty.TruncatedHalves, "precision means little", 2, torch.float16),
    (faulty.HalfTargets, "precision means little", 2, torch.float16),
    (faulty.Clock, "the seeds decide", 1, torch.float32),
    (faulty.Counter, "the seeds decide", 1, torch.float32),
    (faulty.OtherRandomness, "torch alone decides", 1, torch.float32),
    (faulty.WrongLayout, "memory layout means nothing", 1, torch.float32),
    (faulty.ReadsLabels, "class numbers mean nothing", 1, torch.float32),
    (faulty.LikesAClass, "class numbers mean nothing", 2, torch.float32),
    (faulty.EvenOnly, "takes every batch", 1, torch.float32),
    (faulty.ImagesAlone, "takes every batch", 1, torch.float32),
]


@pytest.mark.parametrize(("fault", "invariant", "count", "dtype"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_planted_fault_is_found_with_its_smallest_batch(
    fault: type, invariant: str, count: int, dtype: torch.dtype
) -> None:
    with pytest.raises(InvariantError, match=f"^{invariant}: ") as raised:
        check_mixer(fault(), examples=25)
    batch = raised.value.case
    assert (raised.value.invariant, tuple(batch.images.shape), batch.images.dtype) == (
        invariant,
        (count, 3, 8, 8),
        dtype,
    )
    assert f"The smallest case that fails: images ({count}, 3, 8, 8)" in str(raised.value)
    assert isinstance(raised.value, AssertionError)


@pytest.mark.parametrize("right", [faulty.Mixup, faulty.CutMix])
def test_the_mixers_without_planted_faults_pass(right: type) -> None:
    check_mixer(right(), examples=25)


def test_a_torchvision_transform_can_be_checked() -> None:
    check_mixer(mm.transforms.CutMix(num_classes=5), 5, examples=8)


@pytest.mark.parametrize("peer", [v2.MixUp, v2.CutMix])
def test_torchvisions_transforms_pass(peer: type) -> None:
    check_mixer(peer(num_classes=5), examples=20)


def test_timms_mixup_passes_apart_from_known_faults() -> None:
    mixer = timm.data.Mixup(cutmix_alpha=1.0, num_classes=5)
    with pytest.raises(AssertionError, match="takes every batch: it raises Batch size should be even"):
        check_mixer(mixer)
    known = ("inputs stay", "torch alone decides")  # it writes into the images, and draws from NumPy
    assert tuple(failure.invariant for failure in mixing_failures(mixer, sizes=(2, 4), examples=20)) == known
    check_mixer(mixer, sizes=(2, 4), without=known, examples=20)


def test_the_same_failure_is_found_in_every_run() -> None:
    first, second = (next(mixing_failures(faulty.InPlace(), examples=10)) for _ in range(2))
    assert str(first) == str(second)


def test_random_states_are_restored() -> None:
    generator = torch.Generator().manual_seed(3)
    mixer = mm.Mixup(num_classes=5, generator=generator)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), generator.get_state()
    check_mixer(mixer, examples=2)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), generator.get_state()
    assert all(torch.equal(b, a) if isinstance(b, torch.Tensor) else b == a for b, a in zip(before, after, strict=True))


def test_the_number_of_classes_is_read_from_the_mixer() -> None:
    check_mixer(mm.Mixup(num_classes=3), examples=3)
    with pytest.raises(AssertionError, match=r"same shape and dtype: the returned targets .* have shape \(1, 5\)"):
        check_mixer(faulty.Mixup(), 4, examples=3)


def test_options_choose_the_batches() -> None:
    seen = set()

    class Watching(faulty.Mixup):
        def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.add((len(images), images.dtype, labels.ndim))
            hard = labels if labels.ndim == 1 else labels.argmax(dim=1)
            return super().__call__(images, hard)

    check_mixer(Watching(), sizes=(4, 2), dtypes=(torch.float64,), labels=("rows",), examples=10)
    assert seen == {(2, torch.float64, 2), (4, torch.float64, 2)}


@pytest.mark.parametrize(
    ("argument", "use"),
    [
        ("mixer", lambda: check_mixer(3)),
        ("num_classes", lambda: check_mixer(faulty.Mixup(), 1)),
        ("examples", lambda: check_mixer(faulty.Mixup(), examples=0)),
        (r"without\[1\]", lambda: check_mixer(faulty.Mixup(), without=("inputs stay", "nothing"))),
        ("without", lambda: check_mixer(faulty.Mixup(), without="inputs stay")),
        ("sizes", lambda: check_mixer(faulty.Mixup(), sizes=())),
        ("dtypes", lambda: check_mixer(faulty.Mixup(), dtypes=None)),
    ],
)
def test_bad_arguments_are_named(argument: str, use: object) -> None:
    with pytest.raises(mm.MergeMixError, match=f"^{argument}: got"):
        use()
