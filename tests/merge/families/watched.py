"""What a block is called with, and what its attention computes."""

from __future__ import annotations

import inspect

import torch

import timm_mergemix as mm

from .cases import images, output
from .hf import tiny as hf


def attentions(block):
    if hasattr(block, "gradient_checkpointing"):
        return [hf.attention_of(block)]
    parts = block.attns if hasattr(block, "attns") else [block]
    return [getattr(part, "attn", part) for part in parts]


def set_fused(attention, fused):
    """Has torch's fused kernel compute an attention, or plain matrix products."""
    if hasattr(attention, "config"):
        attention.config._attn_implementation = "sdpa" if fused else "eager"
    else:
        attention.fused_attn = fused


def softmaxes(model, block, x):
    """Attention of a block as timm or transformers computes it, (B, H, N, N); timm's is read at its dropout."""
    if hf.is_hf(model):
        return hf.attention_maps(model, block, x)
    seen = []
    for attn in attentions(block):
        attn.fused_attn = False
        if hasattr(attn, "proj_w"):  # talking heads: the softmax goes into the second mixing, its heads last
            attn.proj_w.register_forward_hook(lambda module, args, out: seen.append(args[0].permute(0, 3, 1, 2)))
        else:
            attn.attn_drop.register_forward_hook(lambda module, args, out: seen.append(args[0].detach()))
    with torch.no_grad():
        model(x)
    attention, attn = torch.cat(seen, dim=1), attentions(block)[0]
    if hasattr(attn, "_compute_lambda"):
        pairs = attention.unflatten(1, (-1, 2))
        attention = pairs[:, :, 0] - attn._compute_lambda().item() * pairs[:, :, 1]
    return attention.clamp_min(0)


def call_of(model, block):
    """What the model passes to a block beside the tokens."""
    calls = []
    handle = block.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    with torch.no_grad(), mm.merging(model, 0):
        output(model, images(model, batch=1))
    handle.remove()
    args, kwargs = calls[0]
    call = inspect.signature(block.forward).bind(*args, **kwargs).arguments
    call |= call.pop("kwargs", {})
    call = {"rope": None} | call if "rope" in inspect.signature(block.forward).parameters else call
    return {key: value for key, value in call.items() if key not in ("x", "input", "hidden_states")}
