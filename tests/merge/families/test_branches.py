"""The branches of blocks with a norm before or after them, with and without a factor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from timm_mergemix.merge.families.branches import PostNormBlock, PreNormBlock

from ..reference import randn


class Named(nn.Module):
    """timm's names, each with weights of its own."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp = nn.LayerNorm(4), nn.LayerNorm(4), nn.Linear(4, 4)
        self.attn, self.drop_path1, self.drop_path2 = nn.Linear(4, 4), nn.Identity(), nn.Identity()
        for name, value in more.items():
            setattr(self, name, value)

    def attend(self, x: torch.Tensor, context: Any) -> tuple[torch.Tensor, None]:
        return self.attn(x), None

    def project(self, x: torch.Tensor, queries: slice, context: Any) -> torch.Tensor:
        return x


class Pre(Named, PreNormBlock):
    pass


class Post(Named, PostNormBlock):
    pass


FACTORS = {
    "none": ({}, 1.0),
    "no parameter": ({"gamma_1": None, "gamma_2": None}, 1.0),
    "parameter": ({"gamma_1": nn.Parameter(torch.tensor(0.5)), "gamma_2": nn.Parameter(torch.tensor(0.5))}, 0.5),
    "layer": ({"ls1": lambda x: 3 * x, "ls2": lambda x: 3 * x}, 3.0),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_norm_before_each_branch_and_a_factor_after_it(name: str) -> None:
    more, factor = FACTORS[name]
    block, x = Pre(**more), randn(2, 3, 4)
    torch.testing.assert_close(block.attention_branch(x, None)[0], factor * block.attn(block.norm1(x)))
    torch.testing.assert_close(block.mlp_branch(x), factor * block.mlp(block.norm2(x)))
    assert torch.equal(block.query_key(x, slice(0, 1), None), block.norm1(x))


def test_a_norm_after_each_branch() -> None:
    block, x = Post(), randn(2, 3, 4)
    assert torch.equal(block.attention_branch(x, None)[0], block.norm1(block.attn(x)))
    assert torch.equal(block.mlp_branch(x), block.norm2(block.mlp(x)))
    assert block.query_key(x, slice(0, 1), None) is x
