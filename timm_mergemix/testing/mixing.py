"""The invariants of mixing. Each is a function of a mixer's call and a batch; it raises if it is violated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .calls import MixerCall
from .properties import RefusedError, largest_step, reason_of, require
from .strategies import LAYOUTS, Batch, as_pixels

__all__ = ["MIXING_INVARIANTS", "TAKES_EVERY_BATCH"]

# In half precision, a blend of two pixels rounds three times. In float32, many pixels may be summed.
STEPS = 4
STEPS_OF_FLOAT32 = 32
BIAS = 0.3


def takes_every_batch(call: MixerCall, batch: Batch) -> None:
    """No batch raises an error, whatever its size and memory layout. Only the first dtype is tried."""
    try:
        call(batch.images, batch.given, batch.seed)
    except RefusedError as refusal:
        raise AssertionError(f"it raises {reason_of(refusal.__cause__)}") from refusal.__cause__


def same_shape_and_dtype(call: MixerCall, batch: Batch) -> None:
    """Images keep their shape and dtype. Targets are one float row of all classes per image."""
    images, targets = call(batch.images, batch.given, batch.seed)
    require(images.shape == batch.images.shape, f"the returned images have shape {tuple(images.shape)}")
    require(images.dtype == batch.images.dtype, f"the returned images are {images.dtype}")
    wanted = (len(batch.images), batch.num_classes)
    found = f"the returned targets are {targets.dtype} and have shape {tuple(targets.shape)}"
    require(tuple(targets.shape) == wanted and targets.is_floating_point(), found)


def inputs_stay(call: MixerCall, batch: Batch) -> None:
    """The caller's images and labels are not changed in place."""
    images, labels = batch.images.clone(), batch.given
    call.on_given(images, labels, batch.seed)
    require(torch.equal(images, batch.images), "the caller's images are changed in place")
    require(torch.equal(labels, batch.given), "the caller's labels are changed in place")


def targets_are_distributions(call: MixerCall, batch: Batch) -> None:
    """Targets are not negative, and the targets of an image sum to 1."""
    _, targets = call(batch.images, batch.given, batch.seed)
    require(targets.isfinite().all(), "a target is NaN or infinite")
    require(targets.min() >= 0, f"a target is {targets.min().item():g}")
    sums = targets.double().sum(dim=1)
    off = int((sums - 1).abs().argmax())
    slack = 1e-4 + batch.num_classes * torch.finfo(targets.dtype).eps
    require((sums - 1).abs().max() <= slack, f"the targets of image {off} sum to {sums[off].item():.4g}")


def the_seeds_decide(call: MixerCall, batch: Batch) -> None:
    """The same seeds of Python, NumPy and torch give the same mix."""
    first, second = (call(batch.images, batch.given, batch.seed) for _ in range(2))
    require(_equal(first, second), "two mixes from the same seeds differ")


def torch_alone_decides(call: MixerCall, batch: Batch) -> None:
    """The same seed of torch gives the same mix, whatever the state of Python's and NumPy's random numbers."""
    first, second = (call(batch.images, batch.given, batch.seed, others=batch.seed + k) for k in range(2))
    require(_equal(first, second), "the mix depends on the random numbers of Python or NumPy")


def pixels_are_between(call: MixerCall, batch: Batch) -> None:
    """No value is outside the range of its channel in the batch, and none is NaN."""
    images, _ = call(batch.images, batch.given, batch.seed)
    require(images.isfinite().all(), "a pixel is NaN or infinite")
    slack = _slack(batch.images, whole=0)
    low, high = (limit(batch.images.double(), dim=(0, 2, 3)) for limit in (torch.amin, torch.amax))
    mixed_low, mixed_high = (limit(images.double(), dim=(0, 2, 3)) for limit in (torch.amin, torch.amax))
    off = torch.maximum(low - mixed_low, mixed_high - high)
    worst = int(off.argmax())
    found, given = (f"{a[worst]:.4g} to {b[worst]:.4g}" for a, b in ((mixed_low, mixed_high), (low, high)))
    require(off.max() <= slack, f"channel {worst} has values from {found}, where the images have {given}")


def channels_stay_apart(call: MixerCall, batch: Batch) -> None:
    """A channel that is zero in all images is zero in all mixes."""
    channels = batch.images.shape[1]
    for kept in range(channels if channels > 1 else 0):
        images = torch.zeros_like(batch.images)
        images[:, kept] = batch.images[:, kept]
        mixed, _ = call(images, batch.given, batch.seed)
        mixed[:, kept] = 0
        require(not mixed.any(), f"values of channel {kept} appear in another one")


def equal_images_stay(call: MixerCall, batch: Batch) -> None:
    """A batch of copies of one image of a single colour stays the same; so does a batch of black images."""
    for colour in (torch.zeros(1, batch.images.shape[1]), _colours(1, batch)):
        images = batch.painted(colour.expand(len(batch.images), -1))
        mixed, _ = call(images, batch.given, batch.seed)
        off = (mixed.double() - images.double()).abs().max().item()
        require(off <= _slack(images, whole=0), f"images of the same colour are changed by {off:.3g}")


def equal_labels_stay(call: MixerCall, batch: Batch) -> None:
    """If all labels are equal, that class is the largest in each target, and all targets are equal."""
    labels = batch.labels[:1].expand(len(batch.labels))
    _, targets = call(batch.images, batch.give(labels), batch.seed)
    require((targets.argmax(dim=1) == labels).all(), "the largest target is not that of the only class in the batch")
    require((targets - targets[:1]).abs().max() <= 1e-3, "all labels are equal, but the targets differ")


def targets_say_what_is_shown(call: MixerCall, batch: Batch) -> None:
    """Without smoothing, an image's target is the share of each class in its pixels.

    Each class gets its own colour, so the mean colour of a mix is the mean of these colours, weighted by its target.
    """
    colours = _colours(batch.num_classes, batch)
    images = batch.painted(colours[batch.labels])
    # If the batch has only one class, the targets of all others are what smoothing adds.
    alone = call(images, batch.give(torch.zeros_like(batch.labels)), batch.seed)[1].double()
    given = alone[:, 1:].mean(dim=1, keepdim=True)
    mixed, targets = call(images, batch.given, batch.seed)
    scale = 1 - batch.num_classes * given
    if scale.min() < 1e-3:  # smoothing leaves nothing of the labels
        return
    wanted = ((targets.double() - given) / scale) @ as_pixels(colours, batch.images.dtype).double()
    off = (mixed.double().mean(dim=(2, 3)) - wanted).abs().amax(dim=1)
    worst = int(off.argmax())
    whole = 255 if batch.images.dtype == torch.uint8 else 1
    slack = 0.51 if whole == 255 else STEPS * largest_step(images) + 1e-4
    reason = f"the mean colour of mix {worst} is {off[worst].item() / whole:.4f} off the colour of its target"
    require(off.max() <= slack, f"{reason}, on a scale from 0 to 1")


def class_numbers_mean_nothing(call: MixerCall, batch: Batch) -> None:
    """Renumbering the classes permutes the targets and changes nothing else."""
    order = torch.arange(batch.num_classes).roll(1)
    images, targets = call(batch.images, batch.given, batch.seed)
    others, renamed = call(batch.images, batch.give(order[batch.labels]), batch.seed)
    require(torch.equal(images, others), "the images depend on the class numbers")
    require(
        torch.allclose(renamed[:, order], targets, atol=1e-6, equal_nan=True), "the targets depend on the class numbers"
    )


def memory_layout_means_nothing(call: MixerCall, batch: Batch) -> None:
    """The memory layout of the images does not change the mix."""
    plain, wanted = call(LAYOUTS["contiguous"](batch.images), batch.given, batch.seed)
    for name, lay in LAYOUTS.items():
        images, targets = call(lay(batch.images), batch.given, batch.seed)
        off = (images.double() - plain.double()).nan_to_num().abs().max().item()
        require(off <= _slack(batch.images, whole=1), f"{name} images give a mix that differs by {off:.3g}")
        same = torch.allclose(targets, wanted, atol=1e-6, equal_nan=True)
        require(same, f"{name} images give other targets")


def precision_means_little(call: MixerCall, batch: Batch) -> None:
    """Float images give the same mix as in float64, apart from rounding, which is to the nearest number."""
    if not batch.images.is_floating_point() or batch.images.dtype == torch.float64:
        return
    images, targets = call(batch.images, batch.given, batch.seed)
    exact, wanted = call(batch.images.double(), batch.given, batch.seed)
    off = (images.double() - exact).abs().max().item()
    steps = off / largest_step(batch.images)
    most = STEPS if images.dtype.itemsize == 2 else STEPS_OF_FLOAT32
    require(steps <= most, f"the mixed images are {steps:.3g} rounding steps off the mix in float64")
    if images.dtype.itemsize == 2:
        bias = ((images.double() - exact) / _steps(exact, images.dtype)).mean().item()
        require(abs(bias) <= BIAS, f"pixels are rounded in one direction, by {bias:.2f} of a rounding step on average")
    off = (targets.double() - wanted.double()).abs().max().item()
    require(off <= 1e-5, f"the targets differ from those in float64 by {off:.2g}")


def _equal(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(one.nan_to_num(), two.nan_to_num()) for one, two in zip(first, second, strict=True))


def _slack(images: Tensor, whole: int) -> float:
    """How far pixels may be off: a few rounding steps for floats, ``whole`` for integers."""
    return STEPS * largest_step(images) if images.is_floating_point() else float(whole)


def _steps(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The spacing of the numbers of a dtype at each value."""
    exponent = torch.frexp(values.abs().clamp_min(torch.finfo(dtype).tiny)).exponent - 1
    return torch.finfo(dtype).eps * torch.exp2(exponent.double())


def _generator(batch: Batch) -> torch.Generator:
    return torch.Generator().manual_seed(batch.seed + 1)


def _colours(count: int, batch: Batch) -> Tensor:
    """(count, C) random colours from 0 to 1."""
    return torch.rand(count, batch.images.shape[1], generator=_generator(batch))


Invariant = Callable[[MixerCall, Batch], None]
TAKES_EVERY_BATCH = "takes every batch"
MIXING_INVARIANTS: dict[str, Invariant] = {
    check.__name__.replace("_", " "): check
    for check in (
        takes_every_batch,
        same_shape_and_dtype,
        inputs_stay,
        targets_are_distributions,
        the_seeds_decide,
        torch_alone_decides,
        memory_layout_means_nothing,
        channels_stay_apart,
        pixels_are_between,
        equal_images_stay,
        equal_labels_stay,
        class_numbers_mean_nothing,
        targets_say_what_is_shown,
        precision_means_little,
    )
}
