"""What an accelerator does in place of the CPU gives the same, tried on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import timm_mergemix as mm
from timm_mergemix.merge.matching import similarity
from timm_mergemix.merge.matching.choose import MATCHINGS
from timm_mergemix.merge.matching.pass_plan import PassPlan

from ..models import images, tiny

MATCHING = "timm_mergemix.merge.matching"


def results(matching: str, suffix: int) -> list[Tensor]:
    """Logits without a gradient, all tokens, their sizes and source map, and gradients."""
    torch.manual_seed(0)
    model = mm.patch(tiny(), 2, suffix_tokens=suffix, matching=matching)
    x = images(model)
    with torch.no_grad():
        logits = model(x)
    with mm.record(model) as record:
        tokens = model.forward_features(x)
    tokens.square().sum().backward()
    last = record.layers[-1]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [logits, tokens, last.size, last.source, *gradients]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("suffix", [0, 3])
def test_the_steps_of_an_accelerator_give_the_same(matching: str, suffix: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = results(matching, suffix)
    starts: list[int] = []

    def make_plan(order: Tensor, partner: Tensor, start: int, numbers: Tensor | None) -> PassPlan:
        starts.append(start)
        return PassPlan(order, partner, start, numbers)

    for module in ("bipartite", "baselines", "pass_plan"):
        monkeypatch.setattr(f"{MATCHING}.{module}.make_plan", make_plan)
    for module in ("rows", "tokens"):
        monkeypatch.setattr(f"{MATCHING}.{module}.gathers_rows", lambda values: not torch.is_grad_enabled())
    monkeypatch.setattr(similarity, "norms_by_one_kernel", lambda keys: True)
    found = results(matching, suffix)
    assert starts and min(starts) > 0
    for got, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
