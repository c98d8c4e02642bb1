"""Several sequences of blocks in one module: each has an r of its own, and all are unpatched together."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import redraw, tiny
from .patched import assert_unchanged, snapshot
from .reference import randn, sequence_lengths

X = randn(2, 17, 48)


class Autoencoder(nn.Module):
    """As a masked autoencoder: encoder and decoder are sequences of timm's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(48, 3) for _ in range(3))
        self.between = nn.Linear(48, 24)
        self.decoder_blocks = nn.ModuleList(Block(24, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        x = self.between(x)
        for block in self.decoder_blocks:
            x = block(x)
        return x


class Beside(nn.Module):
    """A known model with blocks beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = tiny()
        self.layers = nn.ModuleList(Block(48, 3) for _ in range(2))


def build(cls: type[nn.Module] = Autoencoder) -> Any:
    return redraw(cls()).eval()


def both(r: int = 4, decoder_r: int = 2) -> Any:
    mae = mm.patch(build(), r, blocks="blocks", prefix_tokens=1)
    return mm.patch(mae, decoder_r, blocks="decoder_blocks", prefix_tokens=1)


def lengths(mae: Any, x: Tensor = X) -> list[list[int]]:
    """Tokens that leave each block of both."""
    with mm.record(mae, False, blocks="blocks") as one, mm.record(mae, False, blocks="decoder_blocks") as other:
        mae(x)
    return [sequence_lengths(one.layers), sequence_lengths(other.layers)]


def test_each_merges_by_its_own_r() -> None:
    mae = both()
    assert lengths(mae) == [[13, 9, 5], [15, 13]]
    one = mm.patch(build(), 4, blocks="blocks", prefix_tokens=1)
    other = mm.patch(build(), 2, blocks="decoder_blocks", prefix_tokens=1)
    x = X
    for block in one.blocks:
        x = block(x)
    x = other.between(x)
    for block in other.decoder_blocks:
        x = block(x)
    assert torch.equal(mae(X), x)


def test_gradients_reach_both() -> None:
    mae = both()
    mae(X).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in mae.parameters())


def test_patching_one_again_changes_that_one_only() -> None:
    mae = both()
    mm.patch(mae, 1, blocks="decoder_blocks")
    assert lengths(mae) == [[13, 9, 5], [16, 15]]
    mm.patch(mae, 2, blocks=list(mae.blocks))
    assert lengths(mae) == [[15, 13, 11], [16, 15]]


def test_merging_holds_for_the_one_that_is_named() -> None:
    mae = both()
    with mm.merging(mae, 0, blocks="blocks"):
        assert lengths(mae) == [[17, 17, 17], [15, 13]]
        with mm.merging(mae, 0, blocks="decoder_blocks"):
            assert torch.equal(mae(X), build()(X))
    assert lengths(mae) == [[13, 9, 5], [15, 13]]
    plain = build()
    before = snapshot(plain)
    with mm.merging(plain, 4, blocks="blocks", prefix_tokens=1):
        assert not torch.equal(plain(X), build()(X))
    assert_unchanged(before, plain)


def test_unpatch_takes_out_all() -> None:
    mae = both()
    before = snapshot(build())
    assert mm.unpatch(mae) is mae
    assert [*snapshot(mae)] == [*before] and not any(hasattr(block, "merging") for block in mae.modules())
    assert torch.equal(mae(X), build()(X))
    assert mm.unpatch(mae) is mae


def test_unpatch_takes_out_one_that_is_passed_by_itself() -> None:
    mae = both()
    mm.unpatch(mae.decoder_blocks)
    assert type(mae.decoder_blocks[0]) is Block and hasattr(mae.blocks[0], "merging")
    mm.patch(mae, 3)  # the only one that is patched
    assert mae.blocks[0].merging.settings.schedule.r == 3


def test_without_blocks_the_error_says_which_there_are() -> None:
    groups = r"'blocks', 'decoder_blocks'"
    with pytest.raises(MergeMixError, match=rf"wanted blocks= to select a sequence; it contains {groups}"):
        mm.patch(build(), 3, prefix_tokens=1)
    mae = both()
    for function in (
        lambda: mm.patch(mae, 3),
        lambda: mm.merging(mae, 3).__enter__(),
        lambda: mm.record(mae).__enter__(),
        lambda: mm.merge_info(mae),
    ):
        with pytest.raises(MergeMixError, match=rf"^model: .* blocks= to select one of the sequences .*: {groups}$"):
            function()


@pytest.mark.parametrize("blocks", [lambda m: list(m.blocks)[1:], lambda m: [*m.blocks, *m.decoder_blocks]])
def test_a_part_of_what_is_patched_is_refused(blocks: Any) -> None:
    mae = both()
    with pytest.raises(MergeMixError, match=r"^blocks: got .* wanted all blocks of a sequence that is patched"):
        mm.patch(mae, 3, blocks=blocks(mae))


def test_copies_have_states_of_their_own() -> None:
    mae = both()
    other = copy.deepcopy(mae)
    mm.patch(other, 0, blocks="blocks")
    assert lengths(mae) == [[13, 9, 5], [15, 13]] and lengths(other) == [[17, 17, 17], [15, 13]]


def test_a_copied_block_is_told_from_a_second_sequence() -> None:
    mae = mm.patch(build(), 4, blocks="blocks", prefix_tokens=1)
    mae.blocks[1] = copy.deepcopy(mae.blocks[1])
    with pytest.raises(MergeMixError, match="blocks were copied from a patched model into it; unpatch the model"):
        mm.patch(mae, 3)
    mm.unpatch(mae)
    assert torch.equal(mae(X), build()(X))


def test_a_known_model_and_the_blocks_beside_it() -> None:
    whole = build(Beside)
    mm.patch(whole, 2)  # the known one is meant
    mm.patch(whole, 3, blocks="layers", prefix_tokens=1)
    assert mm.merge_info(whole.encoder).r == 2 and whole.layers[0].merging.settings.schedule.r == 3
    for function in (lambda: mm.patch(whole, 3), lambda: mm.merge_info(whole)):
        with pytest.raises(MergeMixError, match=r"blocks= to select one of .*: 'encoder\.blocks', 'layers'"):
            function()
    mm.patch(whole, 1, blocks="encoder.blocks")
    assert mm.merge_info(whole.encoder).r == 1
    mm.unpatch(whole)
    assert not any(hasattr(module, "merging") for module in whole.modules())


def test_blocks_that_a_user_added_to_a_known_model() -> None:
    model = tiny()
    model.decoder_blocks = nn.ModuleList(Block(48, 3) for _ in range(2))
    mm.patch(mm.patch(model, 2), 1, blocks="decoder_blocks", prefix_tokens=1)
    assert type(model) is not type(tiny())
    assert mm.merge_info(model).r == 2  # the model itself is meant
    mm.patch(model, 3, blocks="decoder_blocks")
    assert mm.merge_info(model).r == 2 and model.decoder_blocks[0].merging.settings.schedule.r == 3
    mm.unpatch(model)
    assert type(model) is type(tiny()) and type(model.decoder_blocks[0]) is Block


def test_two_known_models_are_patched_one_by_one_and_unpatched_together() -> None:
    pair: Any = nn.ModuleDict({"image": tiny(), "depth": tiny()})
    with pytest.raises(MergeMixError, match="one vision transformer, it holds 2: image, depth; pass one of them"):
        mm.patch(pair, 3)
    mm.patch(pair.image, 3)
    mm.patch(pair, 2, blocks="depth.blocks")
    with pytest.raises(MergeMixError, match="one vision transformer, it holds 2: image, depth; pass one of them"):
        mm.merging(pair, 0).__enter__()
    mm.unpatch(pair)
    assert not any(hasattr(module, "merging") for module in pair.modules())
    assert mm.unpatch(pair) is pair
