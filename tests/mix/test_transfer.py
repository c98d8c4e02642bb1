"""What was drawn reaches a device in one copy, to the bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu.counting import count
from timm_mergemix.mix.transfer import pack, to_device, unpack

from .batches import quick

DTYPES = [torch.float32, torch.float64, torch.int64, torch.bool, torch.uint8, torch.float16]
SHAPES = st.lists(st.integers(0, 5), min_size=0, max_size=3)


@quick
@given(st.lists(st.tuples(SHAPES, st.sampled_from(DTYPES)), max_size=6), st.integers(0, 99))
def test_a_packed_buffer_gives_back_every_bit(kinds: list, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randint(0, 2, shape, generator=generator).to(dtype) for shape, dtype in kinds]
    packed = pack(tensors)
    assert packed.dtype == torch.uint8 and packed.ndim == 1
    for before, after in zip(tensors, unpack(packed, tensors), strict=True):
        assert before.dtype == after.dtype and torch.equal(before, after)


def test_on_the_cpu_the_tensors_stay_what_they_are() -> None:
    tensors = [torch.ones(2), torch.zeros(3, dtype=torch.int64)]
    assert all(a is b for a, b in zip(to_device(tensors, torch.device("cpu")), tensors, strict=True))


@pytest.mark.parametrize("tensors", [[], [torch.ones(3), torch.arange(5), torch.ones(2, dtype=torch.bool)]])
def test_elsewhere_one_copy_is_made_for_which_the_host_does_not_wait(tensors: list) -> None:
    moved: list = []
    counts = count(lambda: moved.extend(to_device(tensors, torch.device("meta"))))
    assert [copy.non_blocking for copy in counts.copies] == [True] * bool(tensors)
    assert counts.synchronisations == 0
    assert [(t.shape, t.dtype, t.device.type) for t in moved] == [(t.shape, t.dtype, "meta") for t in tensors]
