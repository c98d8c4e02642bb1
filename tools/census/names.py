"""The models of timm that are counted: plain transformers."""

from __future__ import annotations

import sys
from fnmatch import fnmatch

import timm
from timm.models import model_entrypoint
from torch import nn

from timm_mergemix.merge.find.sketch import sketch

# Plain: ``blocks`` is one flat sequence of transformer blocks of one width, over one token sequence with softmax
# attention between tokens. A convolutional stem before it or a few class-attention blocks after it are allowed.
PLAIN = {
    "VisionTransformer": "vit, deit, DINOv2, CLIP, SigLIP, AIMv2, ...; hybrids and ViTamin, with a convolutional stem",
    "VisionTransformerDistilled": "two prefix tokens",
    "Eva": "rotary positions: EVA, DINOv3, Perception Encoder, rope ViTs, Sapiens2",
    "Beit": "relative position bias from a table",
    "VisionTransformerRelPos": "relative position bias from a table or an MLP",
    "Cait": "talking-heads attention; the class token joins in the two blocks after the sequence",
    "NaFlexVit": "images of several sizes in one padded batch",
    "DeepseekVitEncoder": "rotary positions, projector after the sequence",
    "DeepseekVitClassifier": "holds a DeepseekVitEncoder",
    "Qwen3VitEncoder": "rotary positions, patch merger after the sequence",
    "Qwen3VitClassifier": "holds a Qwen3VitEncoder",
    "Gemma4VitEncoder": "rotary positions, spatial pool after the sequence",
    "Gemma4VitClassifier": "holds a Gemma4VitEncoder",
    "ConVit": "gated positional attention in the first blocks",
    "TNT": "a second, inner sequence of pixels beside the outer one",
}

# Similar architectures that are not counted.
NOT_PLAIN = {
    "VisionTransformerSAM": "its blocks take a grid (B, H, W, C) and most attend inside windows",
    "Xcit": "attention between channels, not tokens, and convolutions over the grid inside the blocks",
    "VOLO": "stages of two widths, the first with outlook attention",
    "MlpMixer": "no attention",
}


def candidates(pattern: str = "*") -> list[str]:
    """Names from the files of timm that have a plain class. Whether one is counted depends on the class once built."""
    return [name for name in timm.list_models() if fnmatch(name, pattern) and _may_be_plain(name)]


def is_plain(model: nn.Module) -> bool:
    """Whether a model is counted."""
    return type(model).__name__ in PLAIN


def full_size(name: str) -> nn.Module:
    """Builds timm's model of that name on the meta device, without values."""
    return sketch(lambda: timm.create_model(name, pretrained=False))


def _may_be_plain(name: str) -> bool:
    module = sys.modules[model_entrypoint(name).__module__]
    return any(hasattr(module, cls) for cls in PLAIN)
