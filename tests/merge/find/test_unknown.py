"""A module that holds nothing known is refused with its full name, what its blocks are, and what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.unknown import path_of, reason_unknown

from ...models import images, redraw, tiny


class Residual(nn.Module):
    """A block that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)


class Tower(nn.Module):
    """A stand-in for open_clip's own tower."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Sequential(Residual())
        self.resblocks = nn.ModuleList(Residual() for _ in range(3))


Tower.__module__ = Residual.__module__ = "open_clip.transformer"


class Masked(VisionTransformer):
    """A user's subclass, as autoencoders are."""


def test_a_tower_of_open_clip_is_named_with_its_blocks_and_with_timms() -> None:
    message = (
        r"there is no merging class for open_clip\.transformer\.Tower, nor for its blocks \(tower\.resblocks, of class "
        r"open_clip\.transformer\.Residual\); timm's vit_\*_clip_\* models are such"
    )
    outer: Any = Tower()
    outer.tower = Tower()
    outer.pre = outer.resblocks = nn.Identity()
    with pytest.raises(MergeMixError, match=message):
        mm.patch(outer, 3)


SUPPORTED = (
    "; supported are ViT, DeiT, DINOv2, DINOv3, CLIP, SigLIP and SigLIP 2 of transformers 5.18 or newer, and timm's "
    "models in transformers.TimmWrapperModel"
)


def test_an_unknown_model_of_transformers_is_told_which_are_known() -> None:
    transformers = pytest.importorskip("transformers")
    swin = transformers.SwinConfig(image_size=32, embed_dim=8, depths=[1, 2], num_heads=[1, 2])
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2])
    for name, config in (("Swin", swin), ("ResNet", resnet)):
        reason = reason_unknown(getattr(transformers, f"{name}Model")(config))
        module = f"transformers.models.{name.lower()}.modeling_{name.lower()}"
        assert reason is not None
        assert reason.startswith(f"there is no merging class for {module}.{name}Model, nor for its blocks (encoder.")
        assert reason.endswith(SUPPORTED)


def test_a_release_of_transformers_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(transformers, "__version__", "5.17.3")
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    reason = reason_unknown(transformers.BertModel(transformers.BertConfig(vocab_size=9, **small)))
    assert reason is not None and reason.endswith(f"{SUPPORTED}; this is transformers 5.17.3")


def test_what_holds_no_blocks_is_only_named() -> None:
    assert reason_unknown(nn.Linear(2, 2)) == "there is no merging class for Linear"
    assert reason_unknown(Masked(depth=1, embed_dim=24, num_heads=3).blocks) is None


def trace(model: Any) -> Any:
    return torch.jit.trace(model, images(model))


def export(model: Any) -> Any:
    return torch.export.export(model, (images(model),)).module()


def unflatten(model: Any) -> Any:
    return torch.export.unflatten(torch.export.export(model, (images(model),)))


def extract(model: Any) -> Any:
    return create_feature_extractor(model, ["blocks.1"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", [torch.fx.symbolic_trace, export, unflatten, extract])
def test_a_graph_is_called_one(build: Callable[[nn.Module], nn.Module]) -> None:
    graph = build(tiny())
    message = rf"it is a graph \({type(graph).__name__}\) .* no blocks are left; patch the model before torch\.export"
    with pytest.raises(MergeMixError, match=message):
        mm.patch(graph, 3)
    with pytest.raises(MergeMixError, match=r": encoder is a graph"):
        mm.patch(nn.ModuleDict({"encoder": graph}), 3)


@pytest.mark.filterwarnings("ignore")
def test_what_is_traced_or_exported_was_patched_before() -> None:
    with pytest.raises(MergeMixError, match=r"it is scripted or traced; patch the model before torch\.jit\.trace"):
        mm.patch(trace(tiny()), 3)
    model = mm.patch(tiny(), 3)
    x = images(model)
    for build in (trace, export):
        torch.testing.assert_close(build(model)(x), model(x))


def test_a_subclass_is_merged_in_its_blocks_alone_as_the_error_says() -> None:
    options: dict[str, Any] = {"img_size": 64, "depth": 3, "embed_dim": 48, "num_heads": 3, "num_classes": 10}
    own: Any = redraw(Masked(**options)).eval()
    held = nn.ModuleDict({"net": own})
    with pytest.raises(MergeMixError, match=r"it is a subclass of VisionTransformer that .*; blocks='blocks' merges"):
        mm.patch(own, 3)
    with pytest.raises(MergeMixError, match=r"net is a subclass .*; blocks='net\.blocks' merges in its blocks only"):
        mm.patch(held, 3)
    mm.patch(own, 3, blocks="blocks")
    x = images(own)
    torch.testing.assert_close(own(x), mm.patch(redraw(VisionTransformer(**options)).eval(), 3)(x))


def test_a_part_is_called_by_its_path() -> None:
    model = tiny()
    assert [path_of(part, model) for part in (model, model.blocks, model.blocks[1].attn)] == [
        "it",
        "blocks",
        "blocks.1.attn",
    ]
