"""Finds the r that meets a throughput or a token budget, on the machine at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import check_int, check_number, unusable, wrong
from ..merge.attach import merging_in, planned
from ..merge.families import Backbone
from ..merge.find.search import find_backbone
from ..merge.info import planned_tokens
from ..merge.modes import evaluating
from ..merge.schedule import R
from .timing import interleave, ratio_of

__all__ = ["Tuned", "tune_r"]

FORMS: dict[str, Callable[[int], R]] = {"constant": lambda r: r, "decreasing": lambda r: ("decreasing", r)}


class Tuned(NamedTuple):
    """What `tune_r` found.

    Attributes:
        r: For `patch`.
        speedup: Throughput over that of the unmerged model, as measured.
        tokens: Number of tokens before the first block and after each block.
        similarity: Mean cosine similarity of all tokens before the head with those of the unmerged model.
    """

    r: R
    speedup: float
    tokens: tuple[int, ...]
    similarity: float


def tune_r(
    model: nn.Module,
    speedup: float | None = None,
    *,
    tokens: int | None = None,
    images: Tensor | None = None,
    batch_size: int = 8,
    rounds: int = 7,
) -> list[Tuned]:
    """Finds the least merging that meets a budget, as a constant and as a decreasing r.

    Args:
        model: A supported model, patched or not, on the device where it shall be fast; it is left as it is.
        speedup: Wanted throughput over that of the unmerged model, for instance 2.0.
        tokens: Or: how many tokens may be left after the last block.
        images: (B, C, H, W) as the model wants them. Similarity on real images says more than on the noise that is
            taken if None.
        batch_size: Of that noise.
        rounds: Interleaved runs behind each throughput.

    Returns:
        One entry for each form of r that can meet the budget, the most similar features first.

    Raises:
        MergeMixError: If not exactly one budget is given, or none of the forms can meet it.
    """
    if (speedup is None) == (tokens is None):
        raise wrong("speedup, tokens", (speedup, tokens), "one of them")
    check_int("rounds", rounds, 1)
    backbone = find_backbone(model)
    backbone.check_grid()
    if images is None:
        images = _noise(backbone, batch_size)
    else:
        backbone.check_images(images)
    size = (int(images.shape[-2]), int(images.shape[-1]))
    if speedup is not None:
        check_number("speedup", speedup, 1)
    else:
        check_int("tokens", tokens, 1)

    def try_out(r: R) -> Tuned:
        speed = _speedup(model, backbone, r, images, rounds)
        return Tuned(r, speed, _tokens(backbone, r, size), _similarity(backbone, r, images))

    def fits(r: R) -> bool:
        if tokens is not None:
            return _tokens(backbone, r, size)[-1] <= tokens
        return _speedup(model, backbone, r, images, rounds) >= float(speedup or 1)

    most = backbone.count_patches(*size) // 2
    # Patched once, so that the times are those of passes alone.
    with merging_in(backbone, 0), evaluating(model), torch.inference_mode():
        least = {name: _least(form, fits, most) for name, form in FORMS.items()}
        tuned = [_confirmed(FORMS[name], r, most, speedup or 0, try_out) for name, r in least.items() if r is not None]
        tuned = [each for each in tuned if each.speedup >= (speedup or 0)]
    if not tuned:
        budget = f"a speed-up of {speedup}" if speedup is not None else f"{tokens} tokens"
        raise unusable("speedup, tokens", f"no r gives {budget} with images of {size[0]} x {size[1]} pixels")
    return sorted(tuned, key=lambda each: each.similarity, reverse=True)


def _least(form: Callable[[int], R], fits: Callable[[R], bool], most: int) -> int | None:
    """The least r that fits, by bisection; None where even the largest does not."""
    if not fits(form(most)):
        return None
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(form(middle)) else (middle, high)
    return high


def _confirmed(form: Callable[[int], R], r: int, most: int, speedup: float, try_out: Callable[[R], Tuned]) -> Tuned:
    """The least r from there on whose throughput is enough when it is measured once more; timing is not exact."""
    tuned = try_out(form(r))
    while tuned.speedup < speedup and r < most:
        r += 1
        tuned = try_out(form(r))
    return tuned


def _noise(backbone: Backbone, batch_size: int) -> Tensor:
    check_int("batch_size", batch_size, 1)
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


def _similarity(backbone: Backbone, r: R, images: Tensor) -> float:
    whole = _features(backbone, 0, images)
    return F.cosine_similarity(whole, _features(backbone, r, images), dim=-1).mean().item()


def _features(backbone: Backbone, r: R, images: Tensor) -> Tensor:
    with merging_in(backbone, r):
        return backbone.features(images).float()
