"""The pure tensor functions of merging and mixing; what is random in them is an argument."""

from torch import Tensor

from .errors import MergeMixError, check_tensor
from .merge import tokens as _tokens
from .merge.matching import MergePlan, bipartite_matching, kth_matching, match, pitome_matching, random_matching
from .merge.tokens import compose_source, log_size_bias, merge_tokens
from .mix.images import blend_images, mix_images, paste_resized
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
    "top_mask",
]


def recover(values: Tensor, source: Tensor) -> Tensor:
    """Copies each merged token's value back to all of its members: ``out[b, i] = values[b, source[b, i]]``.

    Args:
        values: (B, K) or (B, K, C), one row for each merged token.
        source: (B, N) int64, for each original token the merged token it is in.

    Returns:
        (B, N) or (B, N, C).

    Raises:
        MergeMixError: If the shapes do not fit, or, looked for on the CPU alone, the source map is one of more tokens.
    """
    check_tensor("values", values, ("B", "K", "C")[: max(2, min(values.ndim, 3))], "")
    check_tensor("source", source, (values.shape[0], "N"), "integer")
    if source.device.type == "cpu" and source.numel():
        low, high = int(source.min()), int(source.max())
        if low < 0 or high >= values.shape[1]:
            came = f"got tokens from {low} to {high}"
            raise MergeMixError(f"source: {came}, wanted them from 0 to {values.shape[1] - 1}, those of values")
    return _tokens.recover(values, source)
