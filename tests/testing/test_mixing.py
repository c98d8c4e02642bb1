"""Each invariant of mixing on a fixed batch, where a random one might miss the fault."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix.testing import MIXING_INVARIANTS, Batch
from timm_mergemix.testing.calls import MixerCall

from . import faulty
from .test_mixers import FAULTS

PAIR = Batch(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1]), 5, 0)


def holds(invariant: str, mixer: object, batch: Batch = PAIR) -> bool:
    try:
        MIXING_INVARIANTS[invariant](MixerCall(mixer, batch.num_classes), batch)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("invariant", MIXING_INVARIANTS)
def test_each_invariant_has_a_planted_fault_and_a_docstring(invariant: str) -> None:
    assert invariant in {named for _, named, _, _ in FAULTS}
    assert MIXING_INVARIANTS[invariant].__doc__.strip().endswith(".")
    assert holds(invariant, faulty.Mixup()) and holds(invariant, faulty.CutMix())


def test_targets_of_two_classes_and_of_more_images_than_classes_are_compared() -> None:
    class Two(faulty.SwappedShares):
        def one_hot(self, labels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(labels, 2).float() * 0.8 + 0.1

        def draw(self) -> float:
            return 0.9

    images, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 1, 0, 1, 0])
    assert not holds("targets say what is shown", Two(), Batch(images, labels, 2, 0))


def test_targets_that_are_all_smoothing_are_not_compared() -> None:
    class Flat(faulty.Mixup):
        def one_hot(self, labels: torch.Tensor) -> torch.Tensor:
            return torch.full((len(labels), 5), 0.2)

    assert holds("targets say what is shown", Flat())


@pytest.mark.parametrize("share", [0.98, 1.02])
def test_an_error_of_two_percent_in_a_target_is_found(share: float) -> None:
    class Off(faulty.Mixup):
        def draw(self) -> float:
            return 0.5

        def targets(self, labels: torch.Tensor, lam: float) -> torch.Tensor:
            return super().targets(labels, lam * share)

    assert not holds("targets say what is shown", Off())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_arithmetic_in_half_precision_is_accepted(dtype: torch.dtype) -> None:
    """Rounds three times, as torchvision does."""

    class Native(faulty.Mixup):
        def blend(self, own: torch.Tensor, partners: torch.Tensor, lam: float) -> torch.Tensor:
            return partners.mul(1 - lam).add_(own.mul(lam))

    for seed in range(20):
        batch = PAIR._replace(images=PAIR.images.to(dtype), seed=seed)
        assert all(holds(invariant, Native(), batch) for invariant in MIXING_INVARIANTS)


def test_a_single_channel_is_accepted() -> None:
    assert holds("channels stay apart", faulty.AcrossChannels(), PAIR._replace(images=PAIR.images[:, :1]))


class Cropped(faulty.Mixup):
    def blend(self, own: torch.Tensor, partners: torch.Tensor, lam: float) -> torch.Tensor:
        return super().blend(own, partners, lam)[..., :-1]


class Infinite(faulty.Mixup):
    def blend(self, own: torch.Tensor, partners: torch.Tensor, lam: float) -> torch.Tensor:
        return super().blend(own, partners, lam) / 0


class OtherClass(faulty.Mixup):
    def one_hot(self, labels: torch.Tensor) -> torch.Tensor:
        return super().one_hot((labels + 1) % 5)


class LayoutInTargets(faulty.Mixup):
    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mixed, _ = super().__call__(images, labels)
        return mixed, self.targets(labels, 0.5 + 0.1 * images.is_contiguous())


class Coarse(faulty.Mixup):
    """Keeps only six bits of half precision, rounded to the nearest number."""

    def to_dtype(self, mixed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return ((mixed * 64).round() / 64).to(dtype) if dtype == torch.float16 else super().to_dtype(mixed, dtype)


@pytest.mark.parametrize(
    ("fault", "invariant", "reason"),
    [
        (Cropped, "same shape and dtype", r"the returned images have shape \(2, 3, 8, 7\)"),
        (Infinite, "pixels are between", "a pixel is NaN or infinite"),
        (faulty.NotANumberInTargets, "targets are distributions", "a target is NaN or infinite"),
        (OtherClass, "equal labels stay", "the largest target is not that of the only class in the batch"),
        (LayoutInTargets, "memory layout means nothing", "channels_last images give other targets"),
        (Coarse, "precision means little", r"the mixed images are [\d.]+ rounding steps off the mix in float64"),
    ],
)
def test_the_failure_says_what_was_found(fault: type, invariant: str, reason: str) -> None:
    images = PAIR.images.to(torch.float16 if fault is Coarse else torch.float32)
    labels = torch.tensor([0, 0]) if fault is faulty.NotANumberInTargets else PAIR.labels
    with pytest.raises(AssertionError, match=f"^{reason}"):
        MIXING_INVARIANTS[invariant](MixerCall(fault(), 5), PAIR._replace(images=images, labels=labels))
