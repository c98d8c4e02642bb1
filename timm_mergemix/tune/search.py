"""Finds the r that meets a throughput or a token budget, on the machine at hand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import check_int, check_number, check_positive, check_tensor, unusable, wrong
from ..merge.attach import merging_in, planned
from ..merge.families import Backbone
from ..merge.find.search import find_backbone
from ..merge.info import planned_tokens
from ..merge.modes import evaluating
from ..merge.schedule import R, as_typed
from .timing import interleave, ratio_of

__all__ = ["Tuned", "tune_r"]

QUICK = 3  # rounds behind each look of the search; what it finds is measured again by all rounds
FORMS: dict[str, Callable[[int], R]] = {"constant": lambda r: r, "decreasing": lambda r: ("decreasing", r)}


class Tuned(NamedTuple):
    """What `tune_r` found.

    Attributes:
        r: For `patch`.
        speedup: Throughput over that of the unmerged model, as measured.
        tokens: Number of tokens before the first block and after each block.
        similarity: Mean cosine similarity of all tokens before the head with those of the unmerged model.
        top1: Share of the labelled images that the merged model classifies correctly; None without labels.
        top1_unmerged: The same share for the unmerged model.
    """

    r: R
    speedup: float
    tokens: tuple[int, ...]
    similarity: float
    top1: float | None = None
    top1_unmerged: float | None = None


class _Clock:
    """Reports the progress of the search, and tells when its time is over."""

    def __init__(self, seconds: float, report: Callable[[str], object] | None) -> None:
        self._start = time.monotonic()
        self._seconds = seconds
        self._end = self._start + seconds
        self._report = report

    def stop_at(self, share: float) -> None:
        """Ends the time at a share of all of it, so that each form of r has its part."""
        self._end = self._start + share * self._seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def say(self, r: R, speedup: float) -> None:
        if self._report is not None:
            past = time.monotonic() - self._start
            self._report(f"tune_r: r={as_typed(r)}: {speedup:.2f}x the throughput; {past:.0f} of {self._seconds:.0f} s")

    def say_unfinished(self, r: R) -> None:
        if self._report is not None:
            best = f"r={as_typed(r)} is the least that was tried of those that meet the budget"
            self._report(
                f"tune_r: time is over before the search has ended; {best}; more seconds may find a smaller one"
            )


class _Sample(NamedTuple):
    """The images: ``timed`` gives the throughput, and all ``images``, in batches of that size, give the rest."""

    timed: Tensor
    images: Tensor
    labels: Tensor | None


def tell(line: str) -> None:
    """Prints a line to standard error."""
    print(line, file=sys.stderr, flush=True)


def tune_r(
    model: nn.Module,
    speedup: float | None = None,
    *,
    tokens: int | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    batch_size: int | None = None,
    rounds: int = 7,
    seconds: float = 120.0,
    report: Callable[[str], object] | None = tell,
) -> list[Tuned]:
    """Finds the least merging that meets a budget, as a constant and as a decreasing r.

    A search for a speed-up takes about as long as 200 forward passes of a batch: with 98 possible values of r, each of
    the two forms is timed 8 times, by 10 passes each, and once more by all ``rounds``. A search for a number of tokens
    only times what it finds. ``seconds`` limits both.

    Args:
        model: A supported model, patched or not, on the device where it is to be fast; it is left as it is.
        speedup: Wanted throughput over that of the unmerged model, for instance 2.0.
        tokens: Or: how many tokens may be left after the last block.
        images: (B, C, H, W) as the model wants them. Similarity on real images says more than on the noise that is
            taken if None.
        labels: (B,) integers, the classes of the images, to measure the top-1 accuracy that each r costs.
        batch_size: Images per forward pass. None takes all images, or 8 of noise.
        rounds: Interleaved runs behind each throughput that is returned; the search itself takes at most 3.
        seconds: After this time the search ends, half of it for each form of r. The least r that it knows by then is
            measured and returned; what is running is finished first.
        report: Is called with a line of text for each r that is timed. None says nothing.

    Returns:
        One entry for each form of r that can meet the budget, the most accurate first where there are labels, else the
        one with the most similar features.

    Raises:
        MergeMixError: If not exactly one budget is given, none of the forms can meet it, or an argument cannot be used.
    """
    _check_options(speedup, tokens, rounds, seconds, report)
    backbone = find_backbone(model)
    backbone.check_grid()
    sample = _sample(backbone, images, labels, batch_size)
    size = (int(sample.timed.shape[-2]), int(sample.timed.shape[-1]))
    clock = _Clock(seconds, report)

    def measure(r: R, times: int) -> float:
        speed = _speedup(model, backbone, r, sample.timed, times)
        clock.say(r, speed)
        return speed

    def fits(r: R) -> bool:
        if tokens is not None:
            return _tokens(backbone, r, size)[-1] <= tokens
        return measure(r, min(rounds, QUICK)) >= float(speedup or 1)

    most = backbone.count_patches(*size) // 2
    # Patched once, so that the times are those of passes alone.
    with merging_in(backbone, 0), evaluating(model), torch.inference_mode():
        found = []
        for number, form in enumerate(FORMS.values(), 1):
            clock.stop_at(number / len(FORMS))
            least = _least(form, fits, most, clock)
            if least is not None:
                found.append(_confirmed(form, least, most, speedup or 0, partial(measure, times=rounds), clock))
        tuned = [
            _judged(model, backbone, r, speed, sample, _tokens(backbone, r, size))
            for r, speed in found
            if speed >= (speedup or 0)
        ]
    if not tuned:
        budget = f"a speed-up of {speedup}" if speedup is not None else f"{tokens} tokens"
        late = f"; the search ended after {seconds:g} seconds" if clock.is_over else ""
        raise unusable("speedup, tokens", f"no r gives {budget} with images of {size[0]} x {size[1]} pixels{late}")
    return sorted(tuned, key=lambda each: (each.top1 or 0.0, each.similarity), reverse=True)


def _check_options(speedup: Any, tokens: Any, rounds: Any, seconds: Any, report: Any) -> None:
    """Raises if one of these arguments of `tune_r` cannot be used."""
    if (speedup is None) == (tokens is None):
        raise wrong("speedup, tokens", (speedup, tokens), "exactly one of them")
    if speedup is not None:
        check_number("speedup", speedup, 1)
    else:
        check_int("tokens", tokens, 1)
    check_int("rounds", rounds, 1)
    check_positive("seconds", seconds)
    if report is not None and not callable(report):
        raise wrong("report", report, "a function that takes a line of text, or None")


def _least(form: Callable[[int], R], fits: Callable[[R], bool], most: int, clock: _Clock) -> int | None:
    """Returns the least r that fits, by bisection, or the least one known when time is over; None if none fits."""
    if not fits(form(most)):
        return None
    low, high = -1, most
    while high - low > 1 and not clock.is_over:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(form(middle)) else (middle, high)
    if high - low > 1:
        clock.say_unfinished(form(high))
    return high


def _confirmed(
    form: Callable[[int], R], r: int, most: int, speedup: float, measure: Callable[[R], float], clock: _Clock
) -> tuple[R, float]:
    """The least r from there on whose throughput is enough when it is measured once more; timing is not exact.

    The steps double, so that few measurements are needed where the search was misled by much.
    """
    speed, step = measure(form(r)), 1
    while speed < speedup and r < most and not clock.is_over:
        r, step = min(most, r + step), 2 * step
        speed = measure(form(r))
    return form(r), speed


def _sample(backbone: Backbone, images: Tensor | None, labels: Tensor | None, batch_size: int | None) -> _Sample:
    """Checks the images and labels, and takes noise if there are no images.

    Raises:
        MergeMixError: If the images do not fit the model, or the labels not the images.
    """
    if batch_size is not None:
        check_int("batch_size", batch_size, 1)
    if images is None:
        if labels is not None:
            raise wrong("labels", labels, "None, since there are no images")
        images = _noise(backbone, 8 if batch_size is None else batch_size)
    else:
        backbone.check_images(images)
    if labels is not None:
        check_tensor("labels", labels, (len(images),), "integer", like=images)
    return _Sample(images[:batch_size], images, labels)


def _noise(backbone: Backbone, batch_size: int) -> Tensor:
    size = backbone.default_size
    if size is None:
        raise wrong("images", None, "images, since the model has no image size of its own")
    noise = torch.randn(batch_size, backbone.in_channels, *size, generator=torch.Generator().manual_seed(0))
    return noise.to(backbone.parameter.device, backbone.parameter.dtype)


def _speedup(model: nn.Module, backbone: Backbone, r: R, images: Tensor, rounds: int) -> float:
    def run(value: R) -> Callable[[], object]:
        def step() -> object:
            with merging_in(backbone, value):
                return model(images)

        return step

    if any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules()):
        torch.compiler.reset()  # each r is compiled anew, and after some the compiler would give up and run as it is
    times = interleave({"merged": run(r), "unmerged": run(0)}, rounds, images.device)
    return ratio_of(times["unmerged"], times["merged"]).value


def _tokens(backbone: Backbone, r: R, size: tuple[int, int]) -> tuple[int, ...]:
    return planned_tokens(backbone, planned(backbone, r=r), size)


def _judged(
    model: nn.Module, backbone: Backbone, r: R, speed: float, sample: _Sample, tokens: tuple[int, ...]
) -> Tuned:
    """Measures the similarity of features and the accuracy that an r leaves."""
    labels = sample.labels
    top1 = [None if labels is None else _top1(model, backbone, each, sample, labels) for each in (r, 0)]
    return Tuned(r, speed, tokens, _similarity(backbone, r, sample), *top1)


def _similarity(backbone: Backbone, r: R, sample: _Sample) -> float:
    total = 0.0
    for images in sample.images.split(len(sample.timed)):
        pair = (_features(backbone, 0, images), _features(backbone, r, images))
        total += F.cosine_similarity(*pair, dim=-1).mean().item() * len(images)
    return total / len(sample.images)


def _top1(model: nn.Module, backbone: Backbone, r: R, sample: _Sample, labels: Tensor) -> float:
    predicted = []
    with merging_in(backbone, r):
        for images in sample.images.split(len(sample.timed)):
            output: Any = model(images)
            logits = getattr(output, "logits", output)  # as models of transformers return them
            check_tensor("logits of the model", logits, (len(images), "num_classes"), "float")
            predicted.append(logits.argmax(dim=1))
    return torch.eq(torch.cat(predicted), labels).float().mean().item()


def _features(backbone: Backbone, r: R, images: Tensor) -> Tensor:
    with merging_in(backbone, r):
        return backbone.features(images).float()
