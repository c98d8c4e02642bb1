"""The blocks that a user names, and the only ones in a module of the user's own."""

from __future__ import annotations

import pytest
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.held import check_prefix, find_held, same, select

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


def test_a_number_of_prefix_tokens_that_is_given_must_be_the_actual_one() -> None:
    check_prefix(None, 1)
    check_prefix(1, 1)
    for given in (2, -1, 1.5):
        with pytest.raises(MergeMixError, match=r"^prefix_tokens: got"):
            check_prefix(given, 1)
