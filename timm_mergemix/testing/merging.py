"""The invariants of merging. Each is a function of a merging model's passes and a case; it raises if it is violated."""

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
    """With ``r=0`` the outputs of the patched model are bitwise equal to those of the plain model."""
    case = case._replace(r=0)
    off = _off(passes.merged(case), passes.plain(case.images))
    require(off == 0, f"outputs differ by {off:.3g} of the largest value")


def all_tokens_come_back(passes: Passes, case: MergeCase) -> None:
    """Outputs have the same shape and dtype as without merging."""
    merged, plain = passes.merged(case), passes.plain(case.images)
    require(
        merged.shape == plain.shape,
        f"outputs have shape {tuple(merged.shape)}, but {tuple(plain.shape)} without merging",
    )
    require(merged.dtype == plain.dtype, f"outputs are {merged.dtype}, but {plain.dtype} without merging")


def each_patch_is_in_one_token(passes: Passes, case: MergeCase) -> None:
    """After each block, the source map sends each original token to one token, and no token is empty."""
    for number, layer in enumerate(passes.layers(case)):
        tokens = layer.size.shape[1]
        low, high = int(layer.source.min()), int(layer.source.max())
        found = f"sources are from {low} to {high} after block {number}, which leaves {tokens} tokens"
        require(low >= 0 and high < tokens, found)
        empty = (_members(layer) == 0).sum().item()
        require(empty == 0, f"{empty} tokens contain no patch after block {number}")


def sizes_count_the_patches(passes: Passes, case: MergeCase) -> None:
    """A token's size is the number of original tokens in it, so sizes sum to the number of original tokens."""
    for number, layer in enumerate(passes.layers(case)):
        total, wanted = layer.size.sum(dim=1), layer.source.shape[1]
        require((total == wanted).all(), f"sizes sum to {total[0].item():g}, not {wanted}, after block {number}")
        found = f"a size is not the number of original tokens in its token after block {number}"
        require(torch.equal(_members(layer), layer.size), found)


def protected_tokens_stay_alone(passes: Passes, case: MergeCase) -> None:
    """Leading and trailing tokens that are not patches never merge, and keep their places."""
    layout = passes.backbone.layout
    for number, layer in enumerate(passes.layers(case)):
        before, after = layer.source.shape[1], layer.size.shape[1]
        for place in (*range(layout.prefix_tokens), *range(before - layout.suffix_tokens, before)):
            wanted = place if place < layout.prefix_tokens else place - before + after
            alone = (layer.source[:, place] == wanted).all() and (layer.size[:, wanted] == 1).all()
            require(alone, f"protected token {place} has merged or moved after block {number}")


def merged_tokens_stay_together(passes: Passes, case: MergeCase) -> None:
    """Tokens that have merged in a block stay together after every later block."""
    layers = passes.layers(case)
    for number, (before, after) in enumerate(pairwise(layers), start=1):
        step = _step(before, after)
        require(
            torch.equal(step.gather(1, before.source), after.source), f"block {number} separates tokens that had merged"
        )


def a_merge_keeps_the_sum(passes: Passes, case: MergeCase) -> None:
    """A merged token is the size-weighted mean of its members, so the weighted sum of all tokens stays the same."""
    for number, merge in passes.merges(case).items():
        sums = torch.zeros(*merge.size.shape, merge.before.shape[2], dtype=torch.float64)
        weighted = merge.before.double() * merge.weights.double().unsqueeze(-1)
        sums.scatter_add_(1, merge.step.unsqueeze(-1).expand_as(weighted), weighted)
        means = sums / merge.size.double().clamp_min(1).unsqueeze(-1)
        off = _off(merge.after.double(), means)
        limit = 8 * torch.finfo(merge.after.dtype).eps
        found = f"tokens of block {number} differ from the mean of their members by {off:.3g} of the largest value"
        require(off <= limit, found)


def as_many_tokens_as_planned(passes: Passes, case: MergeCase) -> None:
    """Each block leaves as many tokens as `merge_info` says. Not checked if `merge_info` does not support the model."""
    with passes.settings(case):
        try:
            planned = info_of(passes.backbone, (case.images.shape[2], case.images.shape[3])).tokens[1:]
        except MergeMixError:
            return
    found = tuple(layer.size.shape[1] for layer in passes.layers(case))
    require(found == planned, f"the blocks leave {found} tokens, but merge_info says {planned}")


def each_image_merges_by_itself(passes: Passes, case: MergeCase) -> None:
    """A batch gives the same outputs as its images one by one. The random matching is left out."""
    if case.matching == "random":
        return
    together = passes.merged(case)
    alone = torch.cat([passes.merged(case._replace(images=image[None])) for image in case.images])
    off = _off(together, alone)
    require(
        off <= passes.tolerance, f"outputs of a batch and of its single images differ by {off:.3g} of the largest value"
    )


def equal_tokens_merge_for_nothing(passes: Passes, case: MergeCase) -> None:
    """If all tokens that enter the blocks are equal, merging changes no output, whichever tokens merge."""
    off = _off(*passes.with_tokens(case, lambda tokens: tokens[:, :1].expand_as(tokens).clone()))
    require(off <= passes.tolerance, f"outputs differ by {off:.3g} of the largest value")


def twins_merge_for_nothing(passes: Passes, case: MergeCase) -> None:
    """If neighbouring patches are equal in pairs, and each pair merges, no output changes.

    This needs proportional attention. Models whose blocks use positions are left out, because they make the twins
    differ even without merging.
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
    require(off <= passes.tolerance, f"outputs differ by {off:.3g} of the largest value")


def _members(layer: LayerRecord) -> Tensor:
    """The number of original tokens in each token."""
    ones = torch.ones_like(layer.source, dtype=layer.size.dtype)
    return torch.zeros_like(layer.size).scatter_add(1, layer.source, ones)


def _step(before: LayerRecord, after: LayerRecord) -> Tensor:
    """For each token after one block, the token after the next block that contains its last original token."""
    return torch.zeros_like(before.size, dtype=torch.int64).scatter(1, before.source, after.source)


def _off(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest wanted value."""
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
