"""The saliency of an encoder, whichever kind it is."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from ..checks import check_images
from ..errors import named
from ..merge.find.feature_maps import FeatureMaps, find_encoder
from ..merge.schedule import R
from .config import SaliencyConfig
from .feature_pass import FeaturePass
from .passes import SaliencyPass

__all__ = ["Saliency", "saliency_map", "saliency_pass"]

Saliency: TypeAlias = SaliencyPass | FeaturePass


def saliency_map(
    encoder: nn.Module,
    x: Tensor,
    layer: int | str | None = None,
    r: R | None = None,
    *,
    divide: bool = True,
    scale: float = 1.0,
) -> Tensor:
    """How much attention each patch gets from the class token (Jin et al., "MergeMix", arXiv 2510.23479).

    A short pass: eval behaviour, no gradient, proportional attention, and only the blocks up to the one whose attention
    is read. Without a class token the attention that a patch receives from all patches is read.

    Other timm models, such as ConvNets and hierarchical transformers, have no such attention. Of them a feature map is
    read, which is an extension of the paper: each cell gets its share of the spatial variance of the features.

    Args:
        encoder: A supported vision transformer, patched or not, or any other timm model that gives its feature maps.
            Nothing about it is changed.
        x: (B, C, H, W) images as the encoder wants them, or uint8 images, which are normalised by the statistics of the
            encoder's timm data config. Images of another size than the encoder takes are resized for the pass.
        layer: Index of the block or feature map to read, negative from the end; ``"pool"`` for the attention of an
            attention-pooling head. None reads the second-to-last, which ranks objects over background best.
        r: Token merging in the pass, every form that `patch` takes. None keeps what is in force. The cells of a feature
            map merge in four steps, which stand for the blocks.
        divide: False copies a merged token's attention whole to each of its patches, as published code does.
        scale: The pass sees images at this share of their usual height and width, rounded up to whole
            patches, and its map is interpolated to the full grid. Half the size has a quarter of the patches. Taken by
            plain timm ViTs, which resample their position embedding, and by models made for all sizes.

    Returns:
        (B, h, w) float32 on the grid of patches or cells, each map sums to 1.

    Raises:
        MergeMixError: If the encoder is not supported, the images do not fit it, or there is no such layer.
    """
    with named(saliency_r="r", saliency_scale="scale"):
        saliency = saliency_pass(encoder, SaliencyConfig(r, scale, layer, divide))
        check_images(x)
        return saliency(x)


def saliency_pass(encoder: nn.Module, config: SaliencyConfig) -> Saliency:
    """The pass that reads an encoder: its attention where it is a supported vision transformer, else a feature map.

    Raises:
        MergeMixError: If neither can be read, or a setting does not fit the encoder.
    """
    found = find_encoder(encoder)
    return FeaturePass(encoder, found, config) if isinstance(found, FeatureMaps) else SaliencyPass(encoder, config)
