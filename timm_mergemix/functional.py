"""The pure tensor functions of merging and mixing; what is random in them is an argument."""

from .merge.matching import MergePlan, bipartite_matching, kth_matching, match, pitome_matching, random_matching
from .merge.tokens import compose_source, log_size_bias, merge_tokens, recover
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
