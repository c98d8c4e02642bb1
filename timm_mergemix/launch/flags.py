"""The flags that a script gets, in groups of its own ``--help``."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction

from ..arguments import R_FORMS, parse_layer, plain_r
from ..merge.matching.choose import MATCHINGS
from ..mix.mergemix import RATIO_MODES, SELECTIONS
from ..mixers.recipes import RECIPES
from ..preference.loss import PAIR_LOSSES

__all__ = ["add_merge_flags", "add_mix_flags"]


def add_merge_flags(parser: ArgumentParser, training: bool) -> None:
    """The flags of token merging.

    Args:
        parser: The script's.
        training: Whether the script trains, and validates between epochs.
    """
    add = parser.add_argument_group("Token merging parameters (timm_mergemix)").add_argument
    add("--merge-r", type=plain_r, metavar="R", help=f"Tokens that merge in each block: {R_FORMS} (default: none)")
    if training:
        eval_help = "Validate merged, as the model trains, or unmerged (default: merged)"
        add("--merge-eval", action=BooleanOptionalAction, default=True, help=eval_help)
    attn_help = "A merged token attracts as much attention as its patches (default: yes)"
    add("--merge-prop-attn", action=BooleanOptionalAction, default=True, help=attn_help)
    matching_help = "How tokens find each other (default: bipartite)"
    add("--merge-matching", choices=MATCHINGS, default="bipartite", help=matching_help)


def add_mix_flags(parser: ArgumentParser) -> None:
    """The flags of MergeMix and of the preference, for a script that trains."""
    add = parser.add_argument_group("MergeMix parameters (timm_mergemix)").add_argument
    add(
        "--mergemix",
        type=float,
        default=0.0,
        metavar="ALPHA",
        help="MergeMix with lambda ~ Beta(ALPHA, ALPHA), enabled if > 0 (default: 0)",
    )
    recipe_help = "MergeMix with Mixup beside it, by kind of training; what else is given comes first (default: none)"
    add("--mergemix-recipe", choices=tuple(RECIPES), help=recipe_help)
    prob_help = (
        "Share of all batches that are MergeMix; the rest is as --mixup and --cutmix say (default: the recipe's)"
    )
    add("--mergemix-prob", type=float, metavar="P", help=prob_help)
    ratio_help = "Mixing ratio: the share of pixels, of attention, or the published random one (default: the recipe's)"
    add("--mergemix-ratio-mode", choices=RATIO_MODES, help=ratio_help)
    select_help = (
        "Whose saliency decides which patches are kept: the original's, or both images' (default: the recipe's)"
    )
    add("--mergemix-select", choices=SELECTIONS, help=select_help)
    layer_help = "Block whose attention is read, from 0 or negative, or 'pool' (default: the last but one)"
    add("--mergemix-layer", type=parse_layer, metavar="N", help=layer_help)
    r_help = "Token merging in the saliency pass, written as for --merge-r (default: the recipe's)"
    add("--mergemix-r", type=plain_r, metavar="R", help=r_help)
    scale_help = "Size of the images in the saliency pass, as a share of theirs (default: the recipe's)"
    add("--mergemix-scale", type=float, metavar="SHARE", help=scale_help)
    mixer_help = "A mixer by name in place of MergeMix, Mixup and CutMix: resizemix, or one that a package registered"
    add("--mixer", metavar="NAME", help=f"{mixer_help}; it mixes a share of --mixup-prob (default: none)")
    encoder_help = "Pretrained timm model, also hf-hub:..., whose attention is read (default: the model in training)"
    add("--mergemix-encoder", metavar="NAME", help=encoder_help)
    add("--mergemix-encoder-checkpoint", metavar="PATH", help="Weights of that model, in place of timm's")
    _add_preference(parser)


def _add_preference(parser: ArgumentParser) -> None:
    add = parser.add_argument_group(
        "Preference parameters (timm_mergemix)",
        "The clean image is preferred to its mix. Both run in one batch, so that logged speeds count each image twice.",
    ).add_argument
    add("--preference", type=float, default=0.0, metavar="WEIGHT", help="Weight, enabled if > 0 (default: 0)")
    add("--preference-beta", type=float, default=1.0, metavar="BETA", help="Scale of the reward (default: 1)")
    add("--preference-gamma", type=float, default=1.0, metavar="GAMMA", help="Largest margin (default: 1)")
    add("--preference-variant", choices=PAIR_LOSSES, default="simpo", help="Loss of a pair (default: simpo)")
