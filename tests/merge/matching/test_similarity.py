"""Cosines of keys, by the kernels of each device."""

import pytest
import torch

from benchmarks.gpu.counting import count
from timm_mergemix.merge.matching import similarity
from timm_mergemix.merge.matching.similarity import cosines, directions, fused_cosines, fused_directions

from ..reference import cosine as slow_cosine
from ..reference import randn


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_cosines_are_float32_also_under_autocast(dtype):
    a, b = randn(2, 3, 5).to(dtype), randn(2, 4, 5, seed=1).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        got = cosines(directions(a), directions(b))
    assert got.dtype == torch.float32
    wanted = [[[slow_cosine(x, y) for y in b[i].tolist()] for x in a[i].tolist()] for i in range(2)]
    torch.testing.assert_close(got, torch.tensor(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [directions, fused_directions])
def test_zeros_have_no_direction(make):
    assert make(torch.zeros(1, 2, 3)).tolist() == [[[0.0] * 3] * 2]


@pytest.mark.parametrize("dim", [1, 5, 64, 80])
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e9])
def test_fewer_kernels_give_the_same_cosines(dim, scale):
    a, b = randn(2, 7, dim) * scale, randn(2, 9, dim, seed=1)
    got = fused_cosines(fused_directions(a), fused_directions(b))
    torch.testing.assert_close(got, cosines(directions(a), directions(b)), rtol=1e-5, atol=1e-6)
    copies = fused_cosines(fused_directions(a[:, [0, 0, 3, 0]]), fused_directions(b[:, :1]))
    assert len({copies[0, i, 0].item() for i in (0, 1, 3)}) == 1


def test_an_accelerator_takes_two_kernels_and_older_torch_four(monkeypatch):
    keys = torch.empty(2, 7, 8, device="meta")
    launched = []
    for fused in (True, False):
        monkeypatch.setattr(similarity, "_HAS_FUSED_NORM", fused)
        launched.append(count(lambda: cosines(directions(keys), directions(keys))).launched - 1)
    assert launched == [2, 6]  # both sides have a direction here


def test_a_compiler_sees_plain_steps():
    seen = []
    torch.func.vmap(lambda keys: seen.append(similarity.norms_by_one_kernel(keys)) or keys)(
        torch.empty(2, 7, 8, 1, device="meta")
    )
    assert seen == [False]
