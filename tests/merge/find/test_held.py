"""The blocks that a user names, and the only ones in a module of the user's own."""

from __future__ import annotations

import pytest
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.held import find_held, held_groups, name_groups, plain_groups, same, select

from ...models import tiny


class Own(nn.Module):
    """A module of a user's own that holds the blocks of a timm model."""

    def __init__(self) -> None:
        super().__init__()
        self.num_prefix_tokens = 1
        self.layers = tiny().blocks


def test_blocks_are_named_by_a_path_a_container_or_one_by_one() -> None:
    own = Own()
    for blocks in ("layers", own.layers, list(own.layers)):
        assert same(select(own, blocks), list(own.layers))


@pytest.mark.parametrize("blocks", ["stages", [], [1], 3, [nn.Linear(1, 1)]])
def test_what_names_no_blocks_is_refused(blocks: object) -> None:
    with pytest.raises(MergeMixError, match=r"^blocks: got"):
        select(Own(), blocks)


def test_the_only_group_of_blocks_is_found() -> None:
    own = Own()
    held = find_held(own, "model", None, None)
    assert held.model is own and same(held.blocks, list(own.layers)) and held.prefix_tokens == 1


def test_the_number_of_prefix_tokens_must_be_known() -> None:
    own = Own()
    del own.num_prefix_tokens
    with pytest.raises(
        MergeMixError, match=r"prefix_tokens: got None, wanted a number, since Own has no num_prefix_tokens"
    ):
        find_held(own, "model", None, None)
    assert find_held(own, "model", None, 2).prefix_tokens == 2


class Autoencoder(nn.Module):
    """Two sequences of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.decoder_blocks = tiny().blocks, tiny(depth=2).blocks


def test_groups_are_told_apart_by_what_they_were_patched_with() -> None:
    both = Autoencoder()
    assert list(plain_groups(both)) == ["blocks", "decoder_blocks"] and not held_groups(both)
    mm.patch(both, 2, blocks="decoder_blocks", prefix_tokens=1)
    assert list(plain_groups(both)) == ["blocks"]
    mm.patch(both, 1, blocks="blocks", prefix_tokens=1)
    groups = held_groups(both)
    assert [len(group) for group in groups] == [3, 2] and not plain_groups(both)
    assert name_groups(both, groups) == "'blocks', 'decoder_blocks'"


def test_wrappers_around_the_blocks_of_one_container_are_one_group() -> None:
    wrapped = nn.ModuleDict({"layers": nn.ModuleList(nn.Sequential(block) for block in tiny().blocks)})
    assert {name: len(group) for name, group in plain_groups(wrapped).items()} == {"layers": 3}
