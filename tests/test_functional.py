from __future__ import annotations

import inspect

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError, functional


def test_all_names_are_functions_that_say_what_they_do() -> None:
    assert functional.__all__ == sorted(functional.__all__, key=lambda name: (name[0].islower(), name))
    for name in functional.__all__:
        assert inspect.getdoc(getattr(functional, name))


def test_has_what_the_contract_names() -> None:
    assert {"bipartite_matching", "mix_images", "top_mask", "mix_targets"} <= set(functional.__all__)
    assert mm.functional is functional


def test_recover_goes_back_by_the_source_map() -> None:
    values, source = torch.randn(2, 3, 4), torch.tensor([[0, 0, 2, 1], [1, 1, 1, 0]])
    wanted = torch.stack([values[b, source[b]] for b in range(2)])
    assert torch.equal(functional.recover(values, source), wanted)
    assert torch.equal(functional.recover(values[..., 0], source), wanted[..., 0])


@pytest.mark.parametrize(
    ("values", "source", "message"),
    [
        (torch.zeros(2, 3, 4), torch.full((2, 5), 3), "^source: got tokens from 3 to 3, wanted them from 0 to 2"),
        (torch.zeros(2, 3), torch.full((2, 5), -1), "^source: got tokens from -1 to -1, wanted"),
        (
            torch.zeros(2, 3, 4),
            torch.zeros(1, 5).long(),
            r"^source: got .*, wanted an integer tensor of shape",
        ),
        (torch.zeros(2, 3, 4), torch.zeros(2, 5), "^source: got"),
        (torch.zeros(3), torch.zeros(3, 1).long(), r"^values: got .*, wanted a tensor of shape \(B, K\)"),
    ],
)
def test_the_source_map_of_other_tokens_is_refused(values: torch.Tensor, source: torch.Tensor, message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        functional.recover(values, source)
