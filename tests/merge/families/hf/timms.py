"""Weights of timm's models for those of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch


@torch.no_grad()
def load_layers(layers: Iterable[Any], blocks: Iterable[Any], names: Mapping[str, str]) -> None:
    """Copies the weights of timm's blocks into layers.

    Args:
        layers: Of transformers, with ``attention`` and ``mlp`` in them.
        blocks: Of timm.
        names: Name of a block's part -> that of the layer's.
    """
    for layer, block in zip(layers, blocks, strict=True):
        parts = ("q_proj", "k_proj", "v_proj")
        for kind in ("weight", "bias"):
            for name, part in zip(parts, getattr(block.attn.qkv, kind).chunk(3), strict=True):
                getattr(getattr(layer.attention, name), kind).copy_(part)
        layer.attention.o_proj.load_state_dict(block.attn.proj.state_dict())
        for name, other in names.items():
            getattr(layer, other).load_state_dict(getattr(block, name).state_dict())
        layer.mlp.fc1.load_state_dict(block.mlp.fc1.state_dict())
        layer.mlp.fc2.load_state_dict(block.mlp.fc2.state_dict())
