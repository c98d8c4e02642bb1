"""A saliency pass computes no more than the one row of attention that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from timm_mergemix import saliency_map

from ..merge.families.cases import build
from ..models import images, tiny
from .states import CLASS_TOKEN

MODEL = tiny()


@contextmanager
def counted(model: nn.Module) -> Iterator[list[int]]:
    """How often the attention of each block runs inside the context."""
    calls = [0] * len(model.blocks)

    def count(index: int) -> object:
        def hook(module: nn.Module, args: object, output: object) -> None:
            calls[index] += 1

        return hook

    handles = [block.attn.register_forward_hook(count(i)) for i, block in enumerate(model.blocks)]
    yield calls
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("r", [None, 3])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_only_the_blocks_before_the_layer_run(layer: int, r: object) -> None:
    with counted(MODEL) as calls:
        saliency_map(MODEL, images(MODEL), layer, r)
    assert calls == [1] * layer + [0] * (3 - layer)


class Shapes(TorchDispatchMode):
    """Shapes of all tensors that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        out = func(*args, **(kwargs or {}))
        self.seen |= {tuple(t.shape) for t in (out if isinstance(out, (tuple, list)) else [out]) if hasattr(t, "shape")}
        return out


@pytest.mark.parametrize("name", CLASS_TOKEN)
def test_one_row_of_attention_is_computed(name: str) -> None:
    model = build(name, embed_dim=60)  # no width is a number of tokens
    tokens = 16 + model.num_prefix_tokens
    with Shapes() as shapes:
        saliency_map(model, images(model), 0)
    assert (2, 3, 1, tokens) in shapes.seen
    assert not [shape for shape in shapes.seen if shape[-2:] == (tokens, tokens)]


def test_no_merging_block_computes_a_square() -> None:
    with Shapes() as shapes:
        saliency_map(MODEL, images(MODEL), 0, r=4)
    assert not [shape for shape in shapes.seen if shape[-2:] == (17, 17)]


def test_the_whole_model_would_have_computed_a_square() -> None:
    """The test above can see one."""
    model = tiny()
    for block in model.blocks:
        block.attn.fused_attn = False
    with Shapes() as shapes:
        model(images(model))
    assert (2, 3, 17, 17) in shapes.seen
