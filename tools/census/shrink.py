"""A timm model made small: less depth, fewer heads of the same size, smaller images; all other options are kept."""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from timm.layers import AttentionRope, HybridEmbed
from torch import nn

DEPTH = 3
# Widths and counts differ between the two models; flags must not, and of all numbers these must not.
NUMBERS = {"eps", "head_dim", "num_prefix_tokens", "num_reg_tokens", "num_kv_groups", "temperature", "merge_size"}
# Set by timm from the width or the image size alone, and no choice of the model.
DERIVED = {"pos_embed_grid_size", "seq_len"}


def shrink(name: str, full: Any) -> nn.Module:
    """Builds ``name`` small.

    Args:
        name: A timm model.
        full: The same at full size, on the meta device.

    Raises:
        ValueError: If no number of heads gives a model that can be built.
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
    """The module that holds the blocks."""
    return model if hasattr(model, "blocks") else model.encoder


def patch_pixels(model: Any) -> int:
    """Pixels between two tokens."""
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
    """Rows of patches in the census: 6 where a projector or a pool joins 3 x 3 patches, else 4."""
    return 6 if {"Gemma4VitEncoder", "DeepseekVitEncoder"} & {cls.__name__ for cls in type(trunk(model)).__mro__} else 4


def changed_options(full: nn.Module, small: nn.Module) -> list[str]:
    """What differs between the two beside sizes: a class, a flag, a module that one of them lacks."""
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
        return {}  # the stem gives the width
    if cls == "ConVit":
        # Its embed_dim is the width of a head. The first blocks have positional attention, the others have not.
        return {"num_heads": heads, "local_up_to_layer": DEPTH - 1}
    if cls == "TNT":
        return {"num_heads_outer": heads, "embed_dim": heads * (body.embed_dim // first.attn_out.num_heads)}
    size = body.embed_dim // _heads(first)
    if cls.startswith("Gemma4"):
        return {"num_heads": heads, "embed_dim": heads * size, "intermediate_size": 4 * heads * size}
    # Older releases of timm know no groups.
    if cls == "Eva" and isinstance(first.attn, AttentionRope) and hasattr(first.attn, "num_kv_groups"):
        # It may have fewer heads for keys in the blocks in the middle.
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
    if type(full).__name__ == "NaFlexVit":  # its grid of positions is an option of its own
        return None
    embed = next(
        getattr(trunk(full), name, None) for name in ("patch_embed", "pixel_embed") if hasattr(trunk(full), name)
    )
    return getattr(embed, "img_size", 0)


def _signature(model: nn.Module) -> tuple[set[Any], set[Any]]:
    """The kinds of blocks, and the modules around them; without sizes and without counting."""
    blocks: dict[str, set[Any]] = {}
    rest: set[Any] = set()
    for path, module in model.named_modules():
        match = re.match(r"(?:encoder\.)?blocks\.(\d+)(.*)", path)
        if match:
            blocks.setdefault(match[1], set()).update((f"block{match[2]}", *entry) for entry in _flags(module))
        else:
            # The heads of an attention pool are an option, its width is not.
            rest.update((path, *entry) for entry in _flags(module) if entry[0] != "head_dim")
    return {tuple(sorted(block, key=str)) for block in blocks.values()}, rest


def _flags(module: nn.Module) -> list[tuple[str, str]]:
    values = {key: value for key, value in vars(module).items() if not key.startswith("_") and key not in DERIVED}
    values |= {key: value is not None for key, value in (module._parameters | module._buffers).items()}
    kept = {key: value for key, value in values.items() if isinstance(value, (bool, str)) or key in NUMBERS}
    return [("class", type(module).__name__), *((key, repr(value)) for key, value in kept.items() if key != "training")]
