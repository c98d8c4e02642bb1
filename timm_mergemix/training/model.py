"""Models by size or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers import build_sincos2d_pos_embed
from timm.models import VisionTransformer
from torch import nn

from ..errors import MergeMixError, check_int, unusable, wrong
from ..merge.find.support import check_name
from ..merge.info import merge_info
from ..merge.patch import merging, patch
from ..merge.schedule import R, merges_any
from ..weights import create_model

__all__ = ["build_model", "describe_tokens", "small_vit", "tokens_kept", "train_merged"]


def small_vit(
    image_shape: Sequence[int], patch_size: int, num_classes: int, width: int, depth: int
) -> VisionTransformer:
    """A plain ViT with a class token and heads of 32 channels.

    Args:
        image_shape: Channels, height, width.
        patch_size: Side of a patch in pixels.
        num_classes: Number of classes.
        width: Channels of a token, a multiple of 32.
        depth: Number of blocks.

    Raises:
        MergeMixError: If the sizes do not fit together.
    """
    check_int("depth", depth, 1)
    check_int("width", width, 32)
    if width % 32:
        raise wrong("width", width, "a multiple of 32")
    channels, height, columns = image_shape
    if height % patch_size or columns % patch_size:
        raise wrong("image_shape", image_shape, f"sides that are multiples of the patch size {patch_size}")
    model = VisionTransformer(
        img_size=(height, columns),
        patch_size=patch_size,
        in_chans=channels,
        num_classes=num_classes,
        embed_dim=width,
        depth=depth,
        num_heads=width // 32,
        weight_init="jax",  # scaled by the width; timm's default, a deviation of 0.02, is made for wide models
    )
    positions = build_sincos2d_pos_embed(list(model.patch_embed.grid_size), dim=width)
    with torch.no_grad():
        # They are learnt all the same. Small random ones would cost a short training most of its epochs.
        model.pos_embed[0, 1:] = positions
    return model


def build_model(
    name: str,
    num_classes: int,
    *,
    pretrained: bool = False,
    img_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A timm model by name.

    Args:
        name: What ``timm.create_model`` takes.
        num_classes: Number of classes.
        pretrained: Whether weights are loaded, from timm's cache or the network.
        img_size: Side of the images in pixels; not passed to models that work at any size.
        kwargs: Further arguments of the model.

    Raises:
        MergeMixError: If timm knows no such model, does not take the arguments, or cannot get the weights.
    """
    check_name("model", name)
    arguments = {"num_classes": num_classes, "pretrained": pretrained, **(kwargs or {})}
    if img_size is not None:
        arguments = {"img_size": img_size, **arguments}
    try:
        return create_model(name, **arguments)
    except TypeError as error:
        # Convolutional networks take no img_size; any other argument that is refused was the user's.
        if img_size is not None and "img_size" in str(error):
            return build_model(name, num_classes, pretrained=pretrained, kwargs=kwargs)
        raise unusable("model", f"{name} does not take these arguments: {error}") from error
    except MergeMixError:
        raise
    except Exception as error:  # whatever a hub, a file format or a model raises
        missing = isinstance(error, OSError) and pretrained and "pretrained_cfg_overlay" not in arguments
        hint = " Weights of a file (--weights) need no network." if missing else ""
        raise unusable("model", f"{name} could not be built: {error}{hint}") from error


def train_merged(model: nn.Module, r: R | None, **settings: Any) -> nn.Module:
    """Patches a model for training, as `patch` does; an ``r`` that merges nothing leaves it as it is."""
    return model if r is None or not merges_any(r) else patch(model, r, **settings)


def tokens_kept(model: nn.Module) -> str:
    """Patch tokens of a supported model that leave its last block, of those that enter the first: ``"25 of 49"``."""
    with merging(model):
        info = merge_info(model)
    return f"{info.tokens[-1] - info.prefix_tokens} of {info.tokens[0] - info.prefix_tokens}"


def describe_tokens(model: nn.Module, r: R, image_size: tuple[int, int]) -> str:
    """A line on the tokens of a model that `train_merged` has seen: how many enter its blocks and leave each of them.

    Args:
        model: The model, patched if ``r`` merges anything.
        r: Its token merging.
        image_size: Height and width of the images in pixels.
    """
    if not merges_any(r):
        return "Token merging: off."
    first, *after = merge_info(model, image_size).tokens
    return f"Token merging: {first} tokens enter the first block; {', '.join(map(str, after))} leave the blocks."
