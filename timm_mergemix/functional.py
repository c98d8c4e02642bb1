"""The pure tensor functions of merging and mixing. Random numbers are passed in as arguments."""

import torch
from torch import Tensor

from .checks import check_range, check_weights, reads_values
from .errors import Words, check_bool, check_same_device, check_tensor, wrong
from .merge.matching import tokens as _tokens
from .merge.matching.baselines import kth_matching, random_matching
from .merge.matching.bipartite import bipartite_matching
from .merge.matching.choose import match
from .merge.matching.pass_plan import PassPlan
from .merge.matching.pitome import pitome_matching
from .merge.matching.plan import MergePlan
from .mix.boxes import visible_boxes
from .mix.images import blend_images, mix_images, paste_resized
from .mix.maps import soft_masks
from .mix.mask import box_mask, count_patches, expand_mask, top_mask
from .mix.ratio import area_ratio, attention_ratio, gaussian_ratio
from .mix.targets import mix_targets
from .preference.logp import label_logp, sequence_logp
from .preference.pairwise import dpo_loss, hinge_loss, simpo_loss

__all__ = [
    "MergePlan",
    "area_ratio",
    "attention_ratio",
    "bipartite_matching",
    "blend_images",
    "box_mask",
    "compose_source",
    "count_patches",
    "dpo_loss",
    "expand_mask",
    "gaussian_ratio",
    "hinge_loss",
    "kth_matching",
    "label_logp",
    "log_size_bias",
    "match",
    "merge_tokens",
    "mix_images",
    "mix_targets",
    "paste_resized",
    "pitome_matching",
    "random_matching",
    "recover",
    "sequence_logp",
    "simpo_loss",
    "soft_masks",
    "top_mask",
    "visible_boxes",
]


def merge_tokens(x: Tensor, plan: MergePlan, size: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Merges tokens into the means of their groups, weighted by size.

    Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461).

    Args:
        x: (B, N, C) float tokens; padding tokens must be zeros.
        plan: Which tokens merge.
        size: (B, N) float32, how many patches each token stands for, 0 for padding; None if each stands for one.

    Returns:
        The merged tokens (B, N - r, C) in ``x``'s dtype, and their sizes (B, N - r) in float32.

    Raises:
        MergeMixError: If shapes or dtypes do not fit, or the plan was made for other tokens.
    """
    check_tensor("x", x, "BNC", "float")
    batch, tokens = _tokens_of(plan)
    if (batch, tokens) != tuple(x.shape[:2]):
        wanted = f"a plan for {x.shape[0]} x {x.shape[1]} tokens, as in x"
        raise wrong("plan", Words(f"a plan for {batch} x {tokens} tokens"), wanted)
    check_same_device("x", x, plan.keep)
    if size is not None:
        check_tensor("size", size, (batch, tokens), "float", like=x)
        check_weights("size", size)
        size = size.float()
    merged, total = _tokens.merge_tokens(x, PassPlan.of(plan), size)
    return merged, total.contiguous()


def compose_source(plan: MergePlan, source: Tensor | None = None) -> Tensor:
    """The source map after one more merge.

    Args:
        plan: The merge that comes next.
        source: (B, N) int64, the map so far; None if nothing has merged yet.

    Returns:
        (B, N) int64, the position of each original token after the merge.

    Raises:
        MergeMixError: If the shapes do not fit. On the CPU also if the source map was made for more tokens.
    """
    batch, tokens = _tokens_of(plan)
    if source is not None:
        _check_source(source, batch, tokens, "plan", plan.keep)
        source = source.long()
    return _tokens.compose_source(_tokens.places(PassPlan.of(plan)), source)


def log_size_bias(size: Tensor | None, dtype: torch.dtype, proportional: bool = True) -> Tensor | None:
    """Proportional attention: log(size) as an additive mask, so that a merged token counts as often as its members.

    Args:
        size: (B, N) float32, 0 for padding; None if nothing has merged.
        dtype: The floating dtype of the attention's input.
        proportional: With False each token counts once. Padding is masked either way.

    Returns:
        (B, 1, 1, N), with the lowest number of ``dtype`` for padding. None if ``size`` is None, so that attention can
        use its fastest kernels, which take no mask.

    Raises:
        MergeMixError: If a shape or dtype does not fit.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise wrong("dtype", dtype, "a floating dtype")
    check_bool("proportional", proportional)
    if size is not None:
        check_tensor("size", size, "BN", "float")
        check_weights("size", size)
    return _tokens.log_size_bias(size, dtype, proportional)


def recover(values: Tensor, source: Tensor) -> Tensor:
    """Copies the value of each merged token back to all of its members: ``out[b, i] = values[b, source[b, i]]``.

    Args:
        values: (B, K) or (B, K, C), one row per merged token.
        source: (B, N) int64, the index of the merged token that each original token is in.

    Returns:
        (B, N) or (B, N, C).

    Raises:
        MergeMixError: If the shapes do not fit. On the CPU also if the source map was made for more tokens.
    """
    check_tensor("values", values, "BKC" if isinstance(values, Tensor) and values.ndim > 2 else "BK")
    _check_source(source, values.shape[0], values.shape[1], "values", values)
    return _tokens.recover(values, source.long())


def _tokens_of(plan: MergePlan) -> tuple[int, int]:
    """The batch size and the number of tokens that a plan was made for.

    Raises:
        MergeMixError: If it is not a plan. On the CPU also if it loses a token, or merges one into a token that is not
            kept.
    """
    if not isinstance(plan, MergePlan):
        raise wrong("plan", plan, "a MergePlan, such as bipartite_matching returns")
    check_tensor("plan.keep", plan.keep, ("B", "N - r"), "integer")
    batch, kept = plan.keep.shape
    for name, part in (("plan.source", plan.source), ("plan.target", plan.target)):
        check_tensor(name, part, (batch, "r" if name == "plan.source" else plan.source.shape[1]), "integer", plan.keep)
    for name, part in zip(plan._fields, plan, strict=True):
        if part.dtype != torch.int64:
            raise wrong(f"plan.{name}", part, "an int64 tensor")
    check_range("plan.target", plan.target, 0, kept - 1)
    if reads_values(plan.keep):
        each = torch.cat([plan.keep, plan.source], dim=1).sort(dim=1).values
        if not torch.equal(each, torch.arange(each.shape[1]).expand_as(each)):
            got = Words("a plan that keeps or merges some tokens twice")
            raise wrong("plan", got, "a plan that lists each token exactly once")
    return batch, kept + plan.source.shape[1]


def _check_source(source: Tensor, batch: int, tokens: int, owner: str, like: Tensor) -> None:
    check_tensor("source", source, (batch, "N"), "integer", like=like)
    source = source.long()
    if source.numel() and reads_values(source):
        low, high = int(source.min()), int(source.max())
        if low < 0 or high >= tokens:
            wanted = f"indices from 0 to {tokens - 1}, the tokens of {owner}"
            raise wrong("source", Words(f"indices from {low} to {high}"), wanted)
