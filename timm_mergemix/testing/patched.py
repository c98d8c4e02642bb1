"""`check_patched`: tests the invariants of merging on any model that can be patched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from ..errors import MergeMixError, check_int, unusable, wrong
from ..merge.families import Backbone
from ..merge.find.search import find_backbone
from ..merge.matching.names import MATCHINGS
from ..merge.patch import patch, unpatch
from .merging import MERGING_INVARIANTS
from .mixers import chosen
from .passes import MergeCase, Passes, Run, output_of
from .properties import InvariantError, kept_random_states, reason_of, require, smallest_failure

__all__ = ["check_patched"]

UNPATCH = "unpatch gives back the model"


def check_patched(
    model: nn.Module,
    images: Tensor | None = None,
    *,
    run: Run | None = None,
    examples: int = 10,
    without: Sequence[str] = (),
    **options: Any,
) -> None:
    """Checks the invariants of token merging in a model, such as your own or one that adapters have changed.

    Each invariant is a property test. It runs on batches and schedules drawn by hypothesis, with all matchings, and a
    failing case is made as small as possible. The model itself is not touched; copies of it run in eval mode. Finally,
    `unpatch` must restore the model: classes, attributes, hooks, weights and outputs.

    Args:
        model: A model that `timm_mergemix.patch` takes, patched or not.
        images: (B, C, H, W), images that the model takes; batches are made from them. None uses random images of the
            model's own size.
        run: A function of a model and images that returns a tensor, or a tuple or dictionary whose first value is a
            tensor. None calls the model on only the images.
        examples: Number of cases per invariant.
        without: Names of invariants, from `MERGING_INVARIANTS`, that are not checked.
        **options: Arguments of `timm_mergemix.patch` other than ``r`` and ``matching``, such as ``blocks``,
            ``prefix_tokens`` or ``adapters``.

    Raises:
        InvariantError: If an invariant does not hold. This `AssertionError` gives its name and the smallest case.
        MergeMixError: If the model cannot be patched, or an argument cannot be used.
    """
    check_int("examples", examples, 1)
    names = chosen(MERGING_INVARIANTS | {UNPATCH: None}, without)
    plain = unpatch(copy.deepcopy(model)).eval()
    backbone = find_backbone(plain, **_of_search(options))
    images = _images(backbone, images)
    with kept_random_states():
        _first_pass(plain, images, run)
        before = _attributes(plain)
        patched = patch(copy.deepcopy(plain), 0, **options)
        passes = Passes(plain, patched, _of_search(options), run)
        for name in names:
            if name != UNPATCH:
                check = partial(MERGING_INVARIANTS[name], passes)
                failure = smallest_failure(name, check, _cases(images), examples)
                if failure is not None:
                    raise failure
        if UNPATCH in names:
            _check_unpatch(passes, plain, patched, before, images)


def _first_pass(model: nn.Module, images: Tensor, run: Run | None) -> None:
    """Runs a model once, so that everything a first pass caches, such as tables of positions, exists.

    Raises:
        MergeMixError: If the model does not take the images.
    """
    try:
        output_of(model, images[:1], run)
    except Exception as error:
        raise unusable("images", f"the model does not accept them, even without merging: {reason_of(error)}") from error


def _of_search(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `patch` that select blocks."""
    return {name: value for name, value in options.items() if name in ("blocks", "prefix_tokens", "suffix_tokens")}


def _images(backbone: Backbone, images: Tensor | None) -> Tensor:
    """Returns the images that were given, or four random ones.

    Raises:
        MergeMixError: If they are not images, or the image size of the model is unknown.
    """
    if images is not None:
        if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
            raise wrong("images", images, "a tensor of shape (B, C, H, W) with at least one image")
        return images
    try:
        channels, size = backbone.in_channels, backbone.default_size
    except MergeMixError:
        size = None
    if size is None:
        raise wrong("images", None, "images that the model takes, since it has no fixed image size")
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, channels, *size, generator=generator).to(backbone.parameter)


@st.composite
def _cases(draw: st.DrawFn, images: Tensor) -> MergeCase:
    count = draw(st.integers(1, len(images)))
    r: Any = draw(
        st.one_of(
            st.integers(1, 8),
            st.tuples(st.just("decreasing"), st.integers(1, 8)),
            st.tuples(st.just("keep"), st.sampled_from([0.75, 0.5])),
        )
    )
    return MergeCase(images[:count], r, draw(st.sampled_from(MATCHINGS)), draw(st.integers(0, 99)))


def _check_unpatch(
    passes: Passes, plain: nn.Module, patched: nn.Module, before: dict[str, Any], images: Tensor
) -> None:
    try:
        names = list(patched.state_dict())
        require(names == list(plain.state_dict()), "patch changes the names of weights")
        unpatch(patched)
        after = _attributes(patched)
        require(list(after) == list(before), "modules have been added or removed")
        changed = [name for name, own in before.items() if after[name] != own]
        require(not changed, f"something is left over in {', '.join(repr(name) for name in changed[:3])}")
        weights, wanted = patched.state_dict(), plain.state_dict()
        require(all(torch.equal(weights[name], wanted[name]) for name in names), "weights are changed")
        require(torch.equal(passes.unpatched(images), passes.plain(images)), "outputs are changed")
    except AssertionError as error:
        raise InvariantError(UNPATCH, str(error), f"images {tuple(images.shape)}") from error


def _attributes(model: nn.Module) -> dict[str, Any]:
    """Returns the class, the names of the attributes and the number of hooks of each module."""
    return {
        name: (
            type(module),
            sorted(vars(module)),
            {key: len(value) for key, value in vars(module).items() if key.endswith("hooks")},
        )
        for name, module in model.named_modules()
    }
