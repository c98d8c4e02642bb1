"""Makes a timm model small: less depth, fewer heads of the same size, smaller images; other options are kept."""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from timm.layers import AttentionRope, HybridEmbed
from torch import nn

DEPTH = 3
# Widths and counts may differ between the two models. Flags and the numbers in this list must not.
NUMBERS = {"eps", "head_dim", "num_prefix_tokens", "num_reg_tokens", "num_kv_groups", "temperature", "merge_size"}
# timm derives these from the width or the image size, so they are not options of the model.
DERIVED = {"pos_embed_grid_size", "seq_len"}


def shrink(name: str, full: Any) -> nn.Module:
    """Builds a small version of a model.

    Args:
        name: A timm model.
        full: The same model at full size, on the meta device.

    Raises:
        ValueError: If the model cannot be built with any number of heads.
    """
    errors = []
    for heads in (2, 3, 4, 6, 8):
        torch.manual_seed(0)
        try:
            return timm.create_model(name, pretrained=False, **_options(full, heads)).eval()
        except (AssertionError, ValueError, TypeError, RuntimeError) as error:
            errors.append(f"{heads} heads: {type(error).__name__}: {error}")
    raise ValueError("; ".join(errors))


def trunk(model: Any) -> Any:
    """Returns the module that holds the blocks."""
    return model if hasattr(model, "blocks") else model.encoder


def patch_pixels(model: Any) -> int:
    """Returns the distance of two tokens in pixels."""
    for embed in ("patch_embed", "embeds", "pixel_embed"):
        module: Any = getattr(trunk(model), embed, None)
        if module is None:
            continue
        if hasattr(module, "feat_ratio"):
            return int(module.feat_ratio())
        size = module.patch_size
        return int(size if isinstance(size, int) else size[0])
    raise ValueError(f"{type(model).__name__}: no patch embedding found")


def grid(model: nn.Module) -> int:
    """Number of patch rows in the census: 6 if a projector or a pool joins 3 x 3 patches, else 4."""
    return 6 if {"Gemma4VitEncoder", "DeepseekVitEncoder"} & {cls.__name__ for cls in type(trunk(model)).__mro__} else 4


def changed_options(full: nn.Module, small: nn.Module) -> list[str]:
    """Differences between the two models other than sizes: classes, flags, and missing modules."""
    (blocks, rest), (small_blocks, small_rest) = _signature(full), _signature(small)
    return [str(entry) for entry in sorted((blocks ^ small_blocks) | (rest ^ small_rest), key=str)]


def _options(full: Any, heads: int) -> dict[str, Any]:
    options: dict[str, Any] = {"depth": DEPTH} | _width(full, heads)
    if getattr(full, "num_classes", 0):
        options["num_classes"] = 10
    if _trained_size(full) is not None:
        options["img_size"] = grid(full) * patch_pixels(full)
    if getattr(trunk(full), "out_features", 0):
        options["out_features"] = 32
    return options


def _width(full: Any, heads: int) -> dict[str, Any]:
    body, cls = trunk(full), type(full).__name__
    first = body.blocks[0]
    embed = getattr(body, "patch_embed", None)
    if isinstance(embed, HybridEmbed) and isinstance(embed.proj, nn.Identity):
        return {}  # the width is set by the stem
    if cls == "ConVit":
        # Its embed_dim is the width of one head. Only the first blocks have positional attention.
        return {"num_heads": heads, "local_up_to_layer": DEPTH - 1}
    if cls == "TNT":
        return {"num_heads_outer": heads, "embed_dim": heads * (body.embed_dim // first.attn_out.num_heads)}
    size = body.embed_dim // _heads(first)
    if cls.startswith("Gemma4"):
        return {"num_heads": heads, "embed_dim": heads * size, "intermediate_size": 4 * heads * size}
    # Older releases of timm do not have groups.
    if cls == "Eva" and isinstance(first.attn, AttentionRope) and hasattr(first.attn, "num_kv_groups"):
        # The blocks in the middle may have fewer heads for keys.
        groups = [body.blocks[i].attn.num_kv_groups for i in (0, len(body.blocks) // 2, -1)]
        heads *= max(groups)
        return {
            "num_heads": heads,
            "embed_dim": heads * size,
            "num_kv_heads": tuple(heads // group for group in groups),
        }
    return {"num_heads": heads, "embed_dim": heads * size}


def _heads(block: Any) -> int:
    return next(m.num_heads for m in block.modules() if hasattr(m, "num_heads"))


def _trained_size(full: Any) -> Any:
    if type(full).__name__ == "NaFlexVit":  # the grid of positions is a separate option
        return None
    embed = next(
        getattr(trunk(full), name, None) for name in ("patch_embed", "pixel_embed") if hasattr(trunk(full), name)
    )
    return getattr(embed, "img_size", 0)


def _signature(model: nn.Module) -> tuple[set[Any], set[Any]]:
    """The classes of the blocks and of the modules around them, without sizes and counts."""
    blocks: dict[str, set[Any]] = {}
    rest: set[Any] = set()
    for path, module in model.named_modules():
        match = re.match(r"(?:encoder\.)?blocks\.(\d+)(.*)", path)
        if match:
            blocks.setdefault(match[1], set()).update((f"block{match[2]}", *entry) for entry in _flags(module))
        else:
            # The number of heads of an attention pool is an option; its width is not.
            rest.update((path, *entry) for entry in _flags(module) if entry[0] != "head_dim")
    return {tuple(sorted(block, key=str)) for block in blocks.values()}, rest


def _flags(module: nn.Module) -> list[tuple[str, str]]:
    values = {key: value for key, value in vars(module).items() if not key.startswith("_") and key not in DERIVED}
    values |= {key: value is not None for key, value in (module._parameters | module._buffers).items()}
    kept = {key: value for key, value in values.items() if isinstance(value, (bool, str)) or key in NUMBERS}
    return [("class", type(module).__name__), *((key, repr(value)) for key, value in kept.items() if key != "training")]
