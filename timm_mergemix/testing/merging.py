"""The invariants of merging. Each is a function of a model that merges and a case; it raises if it does not hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import MergeMixError
from ..merge.info import info_of
from ..merge.record import LayerRecord
from .passes import MergeCase, Passes
from .properties import require

__all__ = ["MERGING_INVARIANTS"]


def r_0_changes_nothing(passes: Passes, case: MergeCase) -> None:
    """Patched with ``r=0`` the model gives the outputs of the plain one, to the bit."""
    case = case._replace(r=0)
    off = _off(passes.merged(case), passes.plain(case.images))
    require(off == 0, f"outputs are off by {off:.3g} of the largest")


def all_tokens_come_back(passes: Passes, case: MergeCase) -> None:
    """Outputs have the shape and dtype of those without merging."""
    merged, plain = passes.merged(case), passes.plain(case.images)
    require(
        merged.shape == plain.shape, f"outputs of shape {tuple(merged.shape)}, {tuple(plain.shape)} without merging"
    )
    require(merged.dtype == plain.dtype, f"outputs of {merged.dtype}, {plain.dtype} without merging")


def each_patch_is_in_one_token(passes: Passes, case: MergeCase) -> None:
    """After each block the source map leads each original token to one token, and none is empty."""
    for number, layer in enumerate(passes.layers(case)):
        tokens = layer.size.shape[1]
        low, high = int(layer.source.min()), int(layer.source.max())
        require(low >= 0 and high < tokens, f"sources from {low} to {high} of {tokens} tokens after block {number}")
        empty = (_members(layer) == 0).sum().item()
        require(empty == 0, f"{empty} tokens without a patch after block {number}")


def sizes_count_the_patches(passes: Passes, case: MergeCase) -> None:
    """A token's size is the number of original tokens in it, so that sizes sum to that of the patches."""
    for number, layer in enumerate(passes.layers(case)):
        total, wanted = layer.size.sum(dim=1), layer.source.shape[1]
        require((total == wanted).all(), f"sizes sum to {total[0].item():g} of {wanted} after block {number}")
        require(torch.equal(_members(layer), layer.size), f"a size is not that of its token after block {number}")


def protected_tokens_stay_alone(passes: Passes, case: MergeCase) -> None:
    """Leading and trailing tokens that are no patches never merge, and keep their places."""
    layout = passes.backbone.layout
    for number, layer in enumerate(passes.layers(case)):
        before, after = layer.source.shape[1], layer.size.shape[1]
        for place in (*range(layout.prefix_tokens), *range(before - layout.suffix_tokens, before)):
            wanted = place if place < layout.prefix_tokens else place - before + after
            alone = (layer.source[:, place] == wanted).all() and (layer.size[:, wanted] == 1).all()
            require(alone, f"token {place} is not by itself after block {number}")


def merged_tokens_stay_together(passes: Passes, case: MergeCase) -> None:
    """What has merged in a block is in one token after every later one."""
    layers = passes.layers(case)
    for number, (before, after) in enumerate(pairwise(layers), start=1):
        step = _step(before, after)
        require(torch.equal(step.gather(1, before.source), after.source), f"block {number} parts what had merged")


def a_merge_keeps_the_sum(passes: Passes, case: MergeCase) -> None:
    """A merged token is the mean of what merged, weighted by sizes; so the weighted sum of all tokens stays."""
    for number, merge in passes.merges(case).items():
        sums = torch.zeros(*merge.size.shape, merge.before.shape[2], dtype=torch.float64)
        weighted = merge.before.double() * merge.weights.double().unsqueeze(-1)
        sums.scatter_add_(1, merge.step.unsqueeze(-1).expand_as(weighted), weighted)
        means = sums / merge.size.double().clamp_min(1).unsqueeze(-1)
        off = _off(merge.after.double(), means)
        limit = 8 * torch.finfo(merge.after.dtype).eps
        require(off <= limit, f"tokens of block {number} are off the mean of what merged by {off:.3g} of the largest")


def as_many_tokens_as_planned(passes: Passes, case: MergeCase) -> None:
    """The tokens after each block are as many as `merge_info` says; not checked where it does not know the model."""
    with passes.settings(case):
        try:
            planned = info_of(passes.backbone, (case.images.shape[2], case.images.shape[3])).tokens[1:]
        except MergeMixError:
            return
    found = tuple(layer.size.shape[1] for layer in passes.layers(case))
    require(found == planned, f"{found} tokens after the blocks, merge_info says {planned}")


def each_image_merges_by_itself(passes: Passes, case: MergeCase) -> None:
    """A batch gives what its images give one by one; matchings that draw random numbers are left out."""
    if case.matching == "random":
        return
    together = passes.merged(case)
    alone = torch.cat([passes.merged(case._replace(images=image[None])) for image in case.images])
    off = _off(together, alone)
    require(off <= passes.tolerance, f"outputs of the batch are off those of its images by {off:.3g} of the largest")


def equal_tokens_merge_for_nothing(passes: Passes, case: MergeCase) -> None:
    """Where all tokens that enter the blocks are equal, merging changes no output, whichever tokens merge."""
    off = _off(*passes.with_tokens(case, lambda tokens: tokens[:, :1].expand_as(tokens).clone()))
    require(off <= passes.tolerance, f"outputs are off by {off:.3g} of the largest")


def twins_merge_for_nothing(passes: Passes, case: MergeCase) -> None:
    """Where neighbouring patches are equal in pairs, and each pair merges, no output changes.

    It needs proportional attention. Blocks that know positions part the twins even without merging; these models are
    left out.
    """
    layout, pairs = passes.backbone.layout, 0

    def pair(tokens: Tensor) -> Tensor:
        nonlocal pairs
        tokens, first = tokens.clone(), layout.prefix_tokens
        pairs = (tokens.shape[1] - first - layout.suffix_tokens) // 2
        tokens[:, first + 1 : first + 2 * pairs : 2] = tokens[:, first : first + 2 * pairs : 2]
        return tokens

    last = passes.last_tokens(case, pair)
    if pairs == 0 or _off(pair(last), last) > passes.tolerance:
        return
    r = [pairs, *[0] * (len(passes.backbone.blocks) - 1)]
    off = _off(*passes.with_tokens(case._replace(r=r, matching="bipartite"), pair))
    require(off <= passes.tolerance, f"outputs are off by {off:.3g} of the largest")


def _members(layer: LayerRecord) -> Tensor:
    """For each token the number of original tokens in it."""
    ones = torch.ones_like(layer.source, dtype=layer.size.dtype)
    return torch.zeros_like(layer.size).scatter_add(1, layer.source, ones)


def _step(before: LayerRecord, after: LayerRecord) -> Tensor:
    """For each token after a block, the token after the next one in which its last original token is."""
    return torch.zeros_like(before.size, dtype=torch.int64).scatter(1, before.source, after.source)


def _off(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    if found.shape != wanted.shape:
        return float("inf")
    off = ((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-6)).item()
    return float("inf") if off != off else off


Invariant = Callable[[Passes, MergeCase], None]
MERGING_INVARIANTS: dict[str, Invariant] = {
    check.__name__.replace("_", " "): check
    for check in (
        r_0_changes_nothing,
        all_tokens_come_back,
        each_patch_is_in_one_token,
        sizes_count_the_patches,
        protected_tokens_stay_alone,
        merged_tokens_stay_together,
        a_merge_keeps_the_sum,
        as_many_tokens_as_planned,
        each_image_merges_by_itself,
        equal_tokens_merge_for_nothing,
        twins_merge_for_nothing,
    )
}
