"""The stand-ins take the inputs of the models that they replace, and a patch with r=0 changes nothing."""

import torch
from torch import nn

from tools.peers.patched import Patcher
from tools.peers.tiny import NormAndViT, RowsViT


def made(cls: type[nn.Module], patches: bool, *args: int) -> nn.Module:
    torch.manual_seed(0)
    return cls(*args, Patcher(patches))


def test_a_norm_with_a_vit_maps_rows_to_rows_like_a_batch_norm() -> None:
    rows = torch.randn(3, 4)
    plain, patched = (made(NormAndViT, patches, 4) for patches in (False, True))
    assert isinstance(plain, nn.BatchNorm1d)
    assert plain(rows).shape == (3, 4)
    assert not torch.equal(plain(rows), nn.BatchNorm1d(4)(rows))
    assert torch.equal(patched(rows), plain(rows))


def test_a_vit_takes_the_integers_of_the_mlp_and_gives_log_probabilities() -> None:
    rows = torch.arange(90).view(9, 10)
    plain, patched = (made(RowsViT, patches) for patches in (False, True))
    assert torch.allclose(plain(rows).exp().sum(dim=1), torch.ones(9))
    assert torch.equal(patched(rows), plain(rows))
    assert not torch.equal(plain(rows)[0], plain(rows)[1])
