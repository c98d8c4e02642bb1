"""In every family the saliency is the attention that the model computes."""

from __future__ import annotations

import pytest
import torch
from timm.layers import AttentionPoolLatent

import timm_mergemix as mm
from timm_mergemix.merge.blocks import Context

from ..reference import randn
from .cases import (
    BUILDERS,
    WIDTH,
    blocks,
    each_case_but_torchvision,
    has_class_token,
    images,
    output,
    prefix_tokens,
    transformer,
)
from .watched import call_of, softmaxes


@each_case_but_torchvision  # torch's attention does not show its weights; see test_torchvision_vit.py
def test_saliency_is_the_attention_that_the_model_computes(case):
    model, prefix = BUILDERS[case](), prefix_tokens(BUILDERS[case]())
    x = images(model)
    attention = softmaxes(model, blocks(model)[1], x).mean(dim=1)
    row = attention[:, 0, prefix:] if has_class_token(model) else attention[:, prefix:, prefix:].mean(dim=1)
    row = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer=1).flatten(1), row, rtol=1e-4, atol=1e-6)


class Adapted(torch.nn.Module):
    """A projection with an adapter around it, as low-rank adaptation makes it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.more = torch.nn.Linear(base.in_features, base.out_features, bias=False)

    weight = property(lambda self: self.base.weight)
    bias = property(lambda self: self.base.bias)
    in_features = property(lambda self: self.base.in_features)
    out_features = property(lambda self: self.base.out_features)

    def forward(self, x):
        return self.base(x) + self.more(x)


@pytest.mark.parametrize("case", [c for c in ("vit", "rope", "cait", "qwen3", "deepseek", "relpos") if c in BUILDERS])
def test_keys_and_saliency_are_those_of_a_wrapped_projection(case):
    model = BUILDERS[case]()
    for block in blocks(model):
        block.attn.qkv = Adapted(block.attn.qkv)
    x = images(model)
    prefix = prefix_tokens(model)
    attention = softmaxes(model, blocks(model)[1], x).mean(dim=1)
    row = attention[:, 0, prefix:] if case in ("vit", "rope") else attention[:, prefix:, prefix:].mean(dim=1)
    row = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer=1).flatten(1), row, rtol=1e-4, atol=1e-6)
    mm.patch(model, 3)
    block, tokens = blocks(model)[0], randn(2, 16 + prefix, WIDTH)
    call = call_of(model, block)
    keys = block.attention_branch(tokens, Context(None, None, None, call))[1]
    torch.testing.assert_close(keys, block.project_keys(tokens, Context(None, None, None, call)), rtol=1e-4, atol=1e-5)


def pool_rows(model, x):
    """What an attention pool gives the tokens, (B, N), as timm or transformers computes it; None without a pool."""
    seen, inside = [], transformer(model)
    head, pool = getattr(inside, "head", None), getattr(inside, "attn_pool", None)
    softmax = torch.Tensor.softmax
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        if hasattr(head, "probe"):
            head.attention.register_forward_hook(lambda module, args, out: seen.append(out[1][:, None]))
        elif isinstance(pool, AttentionPoolLatent):
            pool.fused_attn = False
            patch.setattr(torch.Tensor, "softmax", lambda *a, **k: seen.append(softmax(*a, **k)) or seen[-1])
        else:
            return None
        output(model, x)
    return seen[-1].mean(dim=(1, 2))


@pytest.mark.parametrize("case", [case for case in BUILDERS if case != "cait"])  # a test of its own says what its is
def test_saliency_of_the_pool_is_the_pools_own_attention(case):
    model = BUILDERS[case]()
    x = images(model)
    rows = pool_rows(model, x)
    if rows is None:
        with pytest.raises(mm.MergeMixError, match=r"^layer: got 'pool', .* no attention pool"):
            mm.saliency_map(model, x, layer="pool")
        return
    assert prefix_tokens(model) + 16 >= rows.shape[1] >= 16
    row = rows[:, -16:]
    wanted = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer="pool").flatten(1), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["vit", "beit", "relpos", "cait", "rope"])
def test_saliency_of_a_float64_model_sums_to_1(case):
    model = BUILDERS[case]().double()
    saliency = mm.saliency_map(mm.patch(model, 3), images(model).double())
    torch.testing.assert_close(saliency.sum(dim=(1, 2)), torch.ones(2))


def test_the_pool_of_cait_is_its_class_attention():
    model = BUILDERS["cait"]()
    x, attn = images(model), model.blocks_token_only[-1].attn
    attn.fused_attn, seen = False, []
    attn.attn_drop.register_forward_hook(lambda module, args, out: seen.append(args[0].detach()))
    model(x)
    row = seen[0].mean(dim=(1, 2))[:, 1:]
    wanted = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer="pool").flatten(1), wanted, rtol=1e-4, atol=1e-6)
