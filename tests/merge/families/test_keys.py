"""Keys of timm's attention are caught while a block waits for them, and leave nothing behind."""

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.keys import _HERE, captured_keys, mean_key, projected_key, shows_keys

from ...models import images, tiny
from ..reference import alone, randn
from .cases import build


@pytest.mark.parametrize("bias", [True, False])
def test_a_projected_key_is_the_mean_over_heads_of_the_keys(bias):
    qkv, x = nn.Linear(12, 36, bias=bias), randn(2, 5, 12)
    wanted = qkv(x).view(2, 5, 3, 3, 4)[:, :, 1].mean(dim=2)
    got = projected_key(qkv.weight, qkv.bias, 3, x)
    torch.testing.assert_close(got, wanted)
    assert not got.requires_grad


def test_keys_are_averaged_over_attentions():
    one, other = randn(2, 3, 4), randn(2, 3, 4, seed=1)
    assert mean_key([]) is None
    assert mean_key([one]) is one
    torch.testing.assert_close(mean_key([one, other]), (one + other) / 2)


def block_of(build=tiny):
    return mm.patch(build(), 2).blocks[0]


def test_a_key_that_did_not_come_is_an_error():
    block = block_of()
    with (
        pytest.raises(MergeMixError, match="an attention that was replaced while the model was patched"),
        captured_keys(block, block.attn.k_norm),
    ):
        pass


def test_keys_are_caught_only_inside_the_context():
    block = block_of()
    k_norm, x = block.attn.k_norm, randn(2, 17, 48)
    assert shows_keys(k_norm)
    block.attn(x)
    with captured_keys(block, k_norm) as keys:
        block.attn(block.norm1(x))
    block.attn(x)
    _, key, _ = block.query_key(x, slice(None), alone())
    assert len(keys) == 1 and not keys[0].requires_grad
    torch.testing.assert_close(keys[0], key.mean(dim=1))


def test_an_error_inside_the_context_leaves_nothing_behind():
    block = block_of()
    with pytest.raises(KeyError), captured_keys(block, block.attn.k_norm):
        raise KeyError
    assert _HERE.waiting is None


def test_a_pass_inside_the_pass_is_not_caught():
    block, x, other = block_of(), randn(2, 17, 48), randn(2, 17, 48, seed=1)
    with captured_keys(block, block.attn.k_norm) as keys:
        block.attn(x)
        before, block.merging.here.current = block.merging.here.current, object()
        block.attn(other)
        block.merging.here.current = before
    with captured_keys(block, block.attn.k_norm) as wanted:
        block.attn(x)
    assert torch.equal(keys[0], wanted[0])


@pytest.mark.parametrize(("name", "options"), [("cait", {}), ("beit", {"qkv_bias": False})])
def test_hooks_on_a_projection_are_seen(name, options):
    plain, hooked = (build(name, **options) for _ in range(2))
    for block in hooked.blocks:
        block.attn.qkv.register_forward_hook(lambda module, args, output: output.roll(7, dims=1))
    x, seen = images(plain), []
    for model in (plain, hooked):
        with mm.record(mm.patch(model, [3, *[0] * (len(model.blocks) - 1)])) as rec:
            model(x)
        seen.append(rec.layers[0].source)
    assert not torch.equal(*seen)
