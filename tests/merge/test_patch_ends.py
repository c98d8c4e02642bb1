"""Tokens at either end that a user's own forward adds: how many are protected is an argument, checked and kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.search import find_backbone

from ..models import tiny, tiny_torchvision
from .patched import assert_unchanged, both_families, snapshot
from .reference import Wrapper, randn, sequence_lengths


def protected(module: nn.Module) -> tuple[int, int]:
    layout = find_backbone(module).layout
    return layout.prefix_tokens, layout.suffix_tokens


class Prompted(nn.Module):
    """As visual prompt tuning does: five prompts after the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = tiny()
        self.prompts = nn.Parameter(randn(1, 5, 48))

    def forward(self, images: Tensor) -> Tensor:
        x = self.vit._pos_embed(self.vit.patch_embed(images))
        x = torch.cat([x[:, :1], self.prompts.expand(len(x), -1, -1), x[:, 1:]], dim=1)
        return self.vit.forward_head(self.vit.norm(self.vit.blocks(x)))


@both_families
def test_a_model_protects_its_own_tokens_if_nothing_is_said(build: Any) -> None:
    model = build()
    assert protected(model) == (1, 0)
    assert protected(mm.patch(model, 3)) == (1, 0)


@both_families
def test_more_tokens_at_both_ends_are_kept_by_a_patched_model(build: Any) -> None:
    model = mm.patch(build(), 3, prefix_tokens=6, suffix_tokens=4)
    for outer in (model, Wrapper(model), copy.deepcopy(model)):
        backbone = find_backbone(outer)
        assert protected(outer) == (6, 4)
        assert backbone.prefix_tokens == 1  # what the model itself has
    mm.patch(model, 2)
    mm.patch(model, 2, prefix_tokens=6, suffix_tokens=4)
    assert protected(model) == (6, 4)
    mm.patch(mm.unpatch(model), 2)
    assert protected(model) == (1, 0)


def test_prompts_after_the_class_token_never_merge() -> None:
    model: Any = Prompted()
    x = randn(2, 3, 64, 64)
    mm.patch(model, 6, prefix_tokens=6)
    with mm.record(model, attention=False) as rec:
        model(x)
    assert sequence_lengths(rec.layers) == [16, 11, 9]  # at most half of the patch tokens: 16, 10, 5
    assert (rec.layers[-1].source[:, :6] == torch.arange(6)).all()


@both_families
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"prefix_tokens": 0}, r"^prefix_tokens: got 0, wanted at least 1, which VisionTransformer itself has"),
        ({"prefix_tokens": -1}, r"^prefix_tokens: got -1, wanted an integer >= 0"),
        ({"prefix_tokens": 1.5}, r"^prefix_tokens: got 1\.5, wanted an integer"),
        ({"suffix_tokens": -1}, r"^suffix_tokens: got -1, wanted an integer >= 0"),
        ({"suffix_tokens": True}, r"^suffix_tokens: got True, wanted an integer"),
    ],
)
def test_what_is_no_count_is_an_error_before_anything_has_changed(
    build: Any, counts: dict[str, Any], message: str
) -> None:
    model = build()
    before = snapshot(model)
    for function in (mm.patch, lambda *args, **options: mm.merging(*args, **options).__enter__()):
        with pytest.raises(MergeMixError, match=message):
            function(model, 3, **counts)
    assert_unchanged(before, model)


def test_a_patched_model_keeps_its_counts_until_it_is_unpatched() -> None:
    model = mm.patch(tiny(), 3, prefix_tokens=6, suffix_tokens=4)
    with pytest.raises(MergeMixError, match=r"^prefix_tokens: got 1, wanted 6 or None: the model is patched with 6"):
        mm.patch(model, 3, prefix_tokens=1)
    with pytest.raises(MergeMixError, match=r"^suffix_tokens: got 0, wanted 4 or None: the model is patched with 4"):
        mm.patch(model, 3, suffix_tokens=0)
    with pytest.raises(MergeMixError, match=r"^suffix_tokens: got 5, wanted 4"), mm.merging(model, 0, suffix_tokens=5):
        pass


def test_merging_for_a_while_takes_both() -> None:
    model = tiny_torchvision()
    with mm.merging(model, 2, prefix_tokens=3, suffix_tokens=2):
        assert protected(model) == (3, 2)
    assert protected(model) == (1, 0)


def test_a_module_of_the_users_own_protects_what_it_says() -> None:
    held = nn.ModuleDict({"layers": tiny().blocks})
    mm.patch(held, 3, prefix_tokens=2, suffix_tokens=1)
    backbone = find_backbone(held)
    assert protected(held) == (2, 1) and backbone.prefix_tokens == 2
    with pytest.raises(MergeMixError, match=r"^prefix_tokens: got 1, wanted 2 or None"):
        mm.patch(held, 3, prefix_tokens=1)


class Detecting(nn.Module):
    """As YOLOS does: detection tokens after the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = tiny()
        self.detections = nn.Parameter(randn(1, 4, 48))

    def forward(self, images: Tensor) -> Tensor:
        x = self.vit._pos_embed(self.vit.patch_embed(images))
        x = torch.cat([x, self.detections.expand(len(x), -1, -1)], dim=1)
        return self.vit.norm(self.vit.blocks(x))


@pytest.mark.parametrize("matching", ["bipartite", "pitome", "kth", "random"])
def test_detection_tokens_at_the_end_never_merge(matching: str) -> None:
    model: Any = Detecting()
    x = randn(2, 3, 64, 64)
    mm.patch(model, 6, suffix_tokens=4, matching=matching)
    with mm.record(model) as rec:
        out = model(x)
    assert out.shape[1] == 21
    assert sequence_lengths(rec.layers) == [15, 10, 8]
    last = rec.layers[-1]
    assert (last.source[:, 17:] == torch.arange(4, 8)).all()
    assert (last.size[:, 4:] == 1).all() and (last.size.sum(dim=1) == 21).all()
    assert all(layer.attention.shape == (2, 16) for layer in rec.layers)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("build", "counts"), [(Prompted, "1 and 0, which leave 21"), (Detecting, "1 and 0, which leave 20")]
)
def test_tokens_that_nobody_told_of_are_refused_with_the_arguments_that_help(build: Any, counts: str) -> None:
    model = mm.patch(build(), 6)
    with pytest.raises(MergeMixError, match=f"prefix_tokens, suffix_tokens: got {counts} patches"):
        model(randn(2, 3, 64, 64))
    with mm.merging(model, 0):
        model(randn(2, 3, 64, 64))
