"""Wrong results and errors are counted by kind, and tensors are compared closely."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from timm_mergemix.errors import wrong
from tools.stress.calls import Call
from tools.stress.tally import Known, Tally, known, same

from .made import Shared, giving, raising


def test_results_are_counted_by_kind_and_errors_without_their_numbers() -> None:
    tally, wanted = Tally(), Known(giving(1.0), [torch.tensor([1.0])])
    results = [[torch.tensor([1.0])], [torch.tensor([1.1])], [], ValueError("of 12\nmore"), ValueError("of 7")]
    for result in results:
        tally.add(wanted, result)
    assert (tally.calls, tally.wrong, tally.errors) == (5, Counter(made=2), Counter({"made: ValueError: of N": 2}))


def test_tallies_add_up() -> None:
    both = Tally(1, Counter(a=1), Counter(), 2) + Tally(2, Counter(a=1), Counter(b=1), 3)
    assert both == Tally(3, Counter(a=2), Counter(b=1), 5)


@pytest.mark.parametrize(
    ("result", "is_same"),
    [
        ([1.0, 100.0], True),
        ([1.0 + 5e-4, 100.0], True),
        ([1.0, 100.01], False),
        ([1.0, float("nan")], False),
        ([1.0], False),
    ],
)
def test_tensors_are_the_same_up_to_the_last_bits(result: list[float], is_same: bool) -> None:
    assert same([torch.tensor(result)], [torch.tensor([1.0, 100.0])]) is is_same


def test_other_types_and_numbers_of_tensors_are_not_the_same() -> None:
    one: list[Tensor] = [torch.zeros(2)]
    assert same(one, one)
    assert not same(one, [torch.zeros(2, dtype=torch.int64)])
    assert not same(one, one * 2)


def test_calls_are_run_alone_on_fresh_models_and_refusals_kept_apart() -> None:
    made: list[Shared] = []

    def fresh() -> Shared:
        made.append(Shared())
        return made[-1]

    def refuse() -> Exception:
        return wrong("r", 1, "less")

    found, refused = known([giving(1.0), raising(refuse), raising(refuse)], fresh)
    assert [(one.call.kind, one.wanted[0].item()) for one in found] == [("made", 1.0)]
    assert len(made) == 3
    assert len(refused) == 1 and refused[0].startswith("raising: r: ")


def test_an_error_that_is_no_refusal_is_none_of_the_models() -> None:
    with pytest.raises(ZeroDivisionError):
        known([raising(ZeroDivisionError)], Shared)


def test_a_reference_has_the_last_word() -> None:
    [found], _ = known([Call("made", giving(1.0).run, giving(2.0).run)], Shared)
    assert found.wanted[0].item() == 2.0
