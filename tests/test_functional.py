from __future__ import annotations

import inspect

import timm_mergemix as mm
from timm_mergemix import functional


def test_all_names_are_functions_that_say_what_they_do() -> None:
    assert functional.__all__ == sorted(functional.__all__, key=lambda name: (name[0].islower(), name))
    for name in functional.__all__:
        assert inspect.getdoc(getattr(functional, name))


def test_has_what_the_contract_names() -> None:
    assert {"bipartite_matching", "mix_images", "top_mask", "mix_targets"} <= set(functional.__all__)
    assert mm.functional is functional
