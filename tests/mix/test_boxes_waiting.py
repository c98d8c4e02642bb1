"""The boxes of a mixed image are dropped by one look at all of them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.counting import count
from timm_mergemix.mix.blends import Paste
from timm_mergemix.mix.boxes import mix_objects


@pytest.mark.parametrize("resized", [False, True])
def test_an_image_waits_once_for_a_number_of_boxes(resized: bool) -> None:
    objects = torch.tensor([[0.0, 0.0, 5.0, 5.0], [1.0, 1.0, 9.0, 9.0]]), torch.arange(2)
    paste = Paste(torch.tensor([2, 6, 2, 6]), resized=resized)
    # The CPU stands for an accelerator here, so that what is read on the host counts too: single numbers, and a tensor.
    waits = count(lambda: mix_objects(objects, objects, paste, (9, 11), 0.1), host="meta").waits
    own = {"_local_scalar_dense", "tensor of Python numbers"}
    assert {name: number for name, number in waits.items() if name not in own} == {"nonzero": 1}
