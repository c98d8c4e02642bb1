"""The r that is found meets the budget, and the model is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.tune import search as tune
from timm_mergemix.tune.search import tune_r

from ..models import tiny_torchvision


def tiny() -> Any:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, embed_dim=48, num_heads=3, num_classes=5)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which time is in proportion to the tokens that the blocks see."""

    def speedup(model: Any, backbone: Any, r: Any, images: torch.Tensor, rounds: int) -> float:
        cost = [sum(mm.merge_info(mm.patch(tiny(), each)).tokens) for each in (0, r)]
        return cost[0] / cost[1]

    monkeypatch.setattr(tune, "_speedup", speedup)


def test_the_least_r_that_is_fast_enough_is_found() -> None:
    for found in tune_r(tiny(), 1.3):
        assert found.speedup >= 1.3
        form, r = found.r if isinstance(found.r, tuple) else ("constant", found.r)
        less: Any = r - 1 if form == "constant" else (form, r - 1)
        assert tune._speedup(None, None, less, torch.empty(0), 1) < 1.3
        assert found.tokens == mm.merge_info(mm.patch(tiny(), found.r)).tokens
        assert 0 < found.similarity < 1


def test_forms_are_sorted_by_the_features_that_they_keep() -> None:
    found = tune_r(tiny(), 1.2)
    assert {type(each.r) for each in found} == {int, tuple}
    assert found == sorted(found, key=lambda each: -each.similarity)


@pytest.mark.parametrize("tokens", [17, 14, 11, 9])
def test_a_budget_of_tokens_is_met(tokens: int) -> None:
    for found in tune_r(tiny(), tokens=tokens):
        assert found.tokens[-1] <= tokens
        if tokens == 17:
            assert found.similarity == pytest.approx(1.0)


def test_the_model_is_left_as_it_is() -> None:
    model, patched = tiny().train(), mm.patch(tiny(), 2)
    images = torch.rand(2, 3, 64, 64)
    tune_r(model, 1.1, images=images)
    tune_r(patched, tokens=12)
    assert type(model) is type(tiny())
    assert model.training
    assert mm.merge_info(patched).r == 2


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "speedup, tokens: got"),
        ({"speedup": 2.0, "tokens": 9}, "speedup, tokens: got"),
        ({"speedup": 0.5}, "speedup: got 0.5"),
        ({"speedup": 50.0}, "no r gives a speed-up of 50.0 with images of 64 x 64 pixels"),
        ({"tokens": 2}, "no r gives 2 tokens"),
        ({"tokens": 0}, "tokens: got 0"),
        ({"speedup": 1.1, "rounds": 0}, "rounds: got 0"),
        ({"speedup": 1.1, "batch_size": 0}, "batch_size: got 0"),
        ({"speedup": 1.1, "seconds": 0}, "seconds: got 0"),
        ({"speedup": 1.1, "report": "yes"}, "report: got 'yes', wanted a function"),
        ({"tokens": 9, "labels": torch.zeros(8).long()}, "labels: got .*, wanted None, since there are no images"),
        ({"tokens": 9, "images": torch.zeros(2, 3, 64, 64), "labels": torch.zeros(3).long()}, "labels: got"),
    ],
)
def test_bad_input_is_named(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        tune_r(tiny(), **budget)


def test_what_is_reported_was_measured_again_and_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose clock flatters: the first look at an r shows more than the later ones."""
    exact, seen = tune._speedup, set()

    def flattering(model: Any, backbone: Any, r: Any, *more: Any) -> float:
        first = r not in seen
        seen.add(r)
        return exact(model, backbone, r, *more) * (1.15 if first else 1.0)

    monkeypatch.setattr(tune, "_speedup", flattering)
    for found in tune_r(tiny(), 1.3):
        assert found.speedup >= 1.3


def test_what_is_not_fast_enough_when_it_is_measured_again_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "_least", lambda form, fits, most, clock: most)
    monkeypatch.setattr(tune, "_speedup", lambda *_: 1.0)
    with pytest.raises(MergeMixError, match=r"no r gives a speed-up of 1\.3"):
        tune_r(tiny(), 1.3)


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


def test_similarity_is_that_of_the_tokens_whatever_holds_them() -> None:
    bare, wrapped = (tune_r(model, tokens=12) for model in (tiny(), Wrapped(tiny())))
    assert [each.similarity for each in bare] == [each.similarity for each in wrapped]
    model = tiny_torchvision()
    nn.init.zeros_(model.heads.head.weight)  # as torchvision begins
    assert all(0 < each.similarity < 1 for each in tune_r(model, tokens=12))


@pytest.mark.parametrize(
    "bad", [torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64).byte(), [0]]
)
def test_images_that_the_model_does_not_take_are_refused(bad: Any) -> None:
    with pytest.raises(MergeMixError, match=r"^images: got .*, wanted a float tensor of shape \(B, 3, H, W\)"):
        tune_r(tiny(), tokens=9, images=bad)


def test_a_compiled_model_is_compiled_for_each_r(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[int] = []
    monkeypatch.undo()
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    monkeypatch.setattr(tune, "interleave", lambda *_: {"merged": [1.0], "unmerged": [2.0]})
    model = tiny()
    assert tune._speedup(model, find_backbone(model), 2, torch.zeros(1, 3, 64, 64), 1) == 2 and not resets
    assert tune._speedup(
        torch.compile(model), find_backbone(model), 2, torch.zeros(1, 3, 64, 64), 1
    ) == 2 and resets == [1]
    model.blocks[0].compile()
    assert tune._speedup(model, find_backbone(model), 2, torch.zeros(1, 3, 64, 64), 1) == 2 and resets == [1, 1]
