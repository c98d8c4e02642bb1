"""Each invariant of merging has a docstring and a planted fault, and holds for many kinds of models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.record import LayerRecord
from timm_mergemix.testing.merging import MERGING_INVARIANTS
from timm_mergemix.testing.passes import MergeCase, Passes

from ..merge.families.cases import BUILDERS, images
from . import test_patched

RS = [1, 8, ("decreasing", 5), ("keep", 0.5), [0, 4, 4]]


@pytest.mark.parametrize("invariant", MERGING_INVARIANTS)
def test_each_invariant_has_a_docstring_and_a_planted_fault(invariant: str) -> None:
    assert MERGING_INVARIANTS[invariant].__doc__.strip().endswith(".")
    by_adapters = {"equal tokens merge for nothing", "each image merges by itself", "all tokens come back"}
    assert invariant in {*test_patched.FAULTS, *by_adapters}


@pytest.mark.parametrize("case", ["registers", "rope, mixed", "beit", "parallel things", "differential", "naflex"])
def test_all_invariants_hold_for_a_family(case: str) -> None:
    if case not in BUILDERS:
        pytest.skip("this timm has no such family")
    model = BUILDERS[case]()
    passes = Passes(model, mm.patch(BUILDERS[case](), 0), {})
    for number, r in enumerate(RS):
        merge_case = MergeCase(
            images(model, 2), r, ("bipartite", "pitome", "kth", "random", "bipartite")[number], number
        )
        for check in MERGING_INVARIANTS.values():
            check(passes, merge_case)


@pytest.mark.parametrize(("case", "apart"), [("vit", False), ("eva02", True), ("beit", True), ("torchvision", False)])
def test_twins_are_compared_only_if_blocks_use_no_positions(
    case: str, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = BUILDERS[case]()
    passes = Passes(model, mm.patch(BUILDERS[case](), 0), {})
    compared = []
    monkeypatch.setattr(passes, "with_tokens", lambda *given: compared.append(given) or (torch.ones(1), torch.ones(1)))
    MERGING_INVARIANTS["twins merge for nothing"](passes, MergeCase(images(model, 1), 1, "kth", 0))
    assert bool(compared) != apart


@pytest.mark.parametrize(
    ("invariant", "source", "size", "reason"),
    [
        (
            "each patch is in one token",
            [0, 1, 3],
            [1.0, 1, 1],
            "sources are from 0 to 3 after block 0, which leaves 3 tokens",
        ),
        (
            "each patch is in one token",
            [0, -1, 2],
            [1.0, 1, 1],
            "sources are from -1 to 2 after block 0, which leaves 3 tokens",
        ),
        ("each patch is in one token", [0, 1, 1], [1.0, 1, 1], "1 tokens contain no patch after block 0"),
        ("sizes count the patches", [0, 1, 1], [1.0, 1], "sizes sum to 2, not 3, after block 0"),
        (
            "sizes count the patches",
            [0, 1, 1],
            [2.0, 1],
            "a size is not the number of original tokens in its token after block 0",
        ),
    ],
)
def test_the_failure_says_what_was_found(invariant: str, source: list[int], size: list[float], reason: str) -> None:
    layer = LayerRecord(torch.tensor([source]), torch.tensor([size]))
    with pytest.raises(AssertionError, match=f"^{reason}$"):
        MERGING_INVARIANTS[invariant](SimpleNamespace(layers=lambda case: [layer]), None)


def test_the_failure_says_which_dtype_was_found() -> None:
    passes = SimpleNamespace(merged=lambda case: torch.zeros(1, 2).double(), plain=lambda images: torch.zeros(1, 2))
    with pytest.raises(AssertionError, match=r"^outputs are torch.float64, but torch.float32 without"):
        MERGING_INVARIANTS["all tokens come back"](passes, SimpleNamespace(images=None))
