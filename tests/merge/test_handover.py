"""A block gets the tokens that the one before it has returned, or says that it does not."""

import pytest
import torch

from timm_mergemix.merge.handover import Handover

from .reference import randn


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        torch.Tensor.detach,
        lambda x: x.view_as(x),
        torch.Tensor.clone,
        torch.Tensor.double,
        lambda x: x.requires_grad_(),
    ],
    ids=["itself", "detached", "alias", "copy", "cast", "with gradient"],
)
def test_the_same_values_are_delivered(wrap):
    x = randn(3, 4, 2)
    assert Handover(x).delivers(wrap(x))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.flip(0),
        lambda x: x[:, [1, 0, 2, 3]],
        lambda x: x + 1,
        lambda x: x[:2],
        lambda x: x.add_(1),
        lambda x: x.copy_(x.flip(0)),
        lambda x: x.detach().mul_(2),
    ],
    ids=["rows", "tokens", "values", "part", "in place", "rows in place", "alias in place"],
)
def test_other_values_are_not(change):
    x = randn(3, 4, 2)
    handover = Handover(x)
    assert not handover.delivers(change(x))


def test_tokens_without_a_version_count_as_unchanged():
    with torch.inference_mode():
        x = randn(3, 4, 2).clone()
        assert Handover(x).delivers(x)
        assert not Handover(x).delivers(x.flip(0))


def test_where_tokens_may_change_their_number_counts():
    x = randn(3, 4, 2)
    assert Handover(x, lenient=True).delivers(x + 1)
    assert not Handover(x, lenient=True).delivers(x[:, :3])
