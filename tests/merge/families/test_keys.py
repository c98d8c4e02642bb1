"""Keys of timm's attention are caught while a block waits for them, and leave nothing behind."""

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.keys import AWAITED, HOOK, captured_keys, mean_key, projected_key

from ...models import tiny
from ..reference import alone, randn


class Attention(nn.Module):
    """What `projected_key` reads of one."""

    def __init__(self, qkv):
        super().__init__()
        self.qkv, self.num_heads = qkv, 3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("wrap", [lambda qkv: qkv, nn.Sequential], ids=["linear", "wrapped"])
def test_a_projected_key_is_the_mean_over_heads_of_the_keys(wrap, bias):
    qkv, x = nn.Linear(12, 36, bias=bias), randn(2, 5, 12)
    wanted = qkv(x).view(2, 5, 3, 3, 4)[:, :, 1].mean(dim=2)
    got = projected_key(Attention(wrap(qkv)), x)
    torch.testing.assert_close(got, wanted)
    assert not got.requires_grad


def test_a_bias_that_the_attention_adds_itself_counts_in_the_key():
    qkv, own, x = nn.Linear(12, 36, bias=False), randn(36), randn(2, 5, 12)
    wanted = (qkv(x) + own).view(2, 5, 3, 3, 4)[:, :, 1].mean(dim=2)
    torch.testing.assert_close(projected_key(Attention(qkv), x, own), wanted)


def test_keys_are_averaged_over_attentions():
    one, other = randn(2, 3, 4), randn(2, 3, 4, seed=1)
    assert mean_key([]) is None
    assert mean_key([one]) is one
    torch.testing.assert_close(mean_key([one, other]), (one + other) / 2)


def test_a_key_that_did_not_come_is_an_error():
    with pytest.raises(MergeMixError, match="an attention that was replaced while the model was patched"):
        mean_key([randn(2, 3, 4), 1])


def test_keys_are_caught_only_inside_the_context():
    block = mm.patch(tiny(), 2).blocks[0]
    k_norm, x = block.attn.k_norm, randn(2, 17, 48)
    assert HOOK in vars(k_norm)
    block.attn(x)
    assert AWAITED not in vars(k_norm)
    with captured_keys(block, k_norm) as keys:
        block.attn(block.norm1(x))
    _, key, _ = block.query_key(x, slice(None), alone())
    assert len(keys) == 1 and not keys[0].requires_grad
    torch.testing.assert_close(keys[0], key.mean(dim=1))
    assert AWAITED not in vars(k_norm)


def test_an_error_inside_the_context_leaves_nothing_behind():
    block = mm.patch(tiny(), 2).blocks[0]
    with pytest.raises(KeyError), captured_keys(block, block.attn.k_norm):
        raise KeyError
    assert AWAITED not in vars(block.attn.k_norm)
