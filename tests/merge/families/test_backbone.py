"""What was found in a module, and how it is told whether it still holds."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from torch import nn

from timm_mergemix import MergeMix, MergeMixError, patch, saliency_map, unpatch
from timm_mergemix.merge.families import Backbone
from timm_mergemix.merge.find import search
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.passes import SaliencyPass

from ...mix.batches import noise
from ...models import images, tiny, tiny_torchvision


class Plain(Backbone):
    """The members that must be given, and no more."""

    prefix_tokens = 0
    has_class_token = False
    default_size = None
    in_channels = 3

    def find_blocks(self) -> list[nn.Module]:
        return [self.model]

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    grid_size = input_size

    def features(self, images: Any) -> Any:
        return images


def test_a_family_has_no_pool_and_takes_any_size_unless_it_says_otherwise() -> None:
    plain = Plain(nn.Linear(2, 2))
    assert plain.pool is None and plain.only_size is None
    plain.check_grid()
    with pytest.raises(MergeMixError, match="layer: Linear has no attention pool"):
        plain.pool_attention(None)


def test_a_family_must_say_where_its_blocks_are() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backbone(nn.Linear(2, 2))


def test_it_knows_the_model_its_blocks_and_its_grid() -> None:
    model = tiny()
    backbone = find_backbone(nn.Sequential(model))
    assert backbone.model is model and list(backbone.blocks) == list(model.blocks)
    assert backbone.only_size == backbone.default_size == (64, 64)
    assert backbone.grid_size(64, 64) == (4, 4) and backbone.count_patches(64, 64) == 16
    assert (backbone.prefix_tokens, backbone.has_class_token, backbone.in_channels) == (1, True, 3)
    assert backbone.parameter is next(model.parameters())


def test_patching_and_unpatching_does_not_change_what_was_found() -> None:
    model = tiny()
    backbone = find_backbone(model)
    assert backbone.state is None and backbone.holds()
    patch(model, 2)
    assert backbone.state is model.merging and backbone.holds()
    unpatch(model)
    assert backbone.state is None and backbone.holds()


def replaced_in_the_middle(model: Any) -> None:
    model.blocks[1] = deepcopy(model.blocks[1])


def cut_off(model: Any) -> None:
    model.blocks = model.blocks[:-1]


def one_more(model: Any) -> None:
    model.blocks.append(deepcopy(model.blocks[0]))


def other_class(model: Any) -> None:
    model.__class__ = type("Sharded", (type(model),), {})


def own_forward(model: Any) -> None:
    patch(model, 2)
    attention = model.blocks[0].attn
    attention.forward = attention.forward


@pytest.mark.parametrize("change", [replaced_in_the_middle, cut_off, one_more, other_class, own_forward])
def test_it_is_told_when_the_model_has_changed(change: Any) -> None:
    model = tiny()
    backbone = find_backbone(model)
    change(model)
    assert not backbone.holds()


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each search of a model from here on, wherever the function was imported."""
    seen: list[str] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.append("search")
        return find_backbone(*args, **kwargs)

    for module in ("saliency.passes", "merge.patch", "merge.info", "tune.search", "merge.find.search"):
        monkeypatch.setattr(f"timm_mergemix.{module}.find_backbone", counted)
    assert search.find_backbone is counted
    return seen


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("options", [{}, {"dynamic_img_size": True}])
def test_a_saliency_pass_searches_once_and_a_call_never(
    patched: bool, options: dict[str, Any], searches: list[str]
) -> None:
    model = tiny(**options)
    if patched:
        patch(model, 1)
    searches.clear()
    saliency = SaliencyPass(model)
    assert len(searches) == 1
    saliency(images(model))
    mixer = MergeMix(model, 5, mergemix_prob=1.0)
    searches.clear()
    for _ in range(2):
        mixer(noise(4, 3, 64, 64), noise(4).abs().long())
    assert not searches


def test_a_model_whose_blocks_were_replaced_is_searched_again(searches: list[str]) -> None:
    model = tiny()
    saliency = SaliencyPass(model)
    replaced_in_the_middle(model)
    nn.init.zeros_(model.blocks[1].attn.proj.weight)
    searches.clear()
    found = saliency(images(model))
    assert len(searches) == 1
    assert found.equal(saliency_map(model, images(model), r=("keep", 0.5)))


def test_a_wrapper_may_get_another_model() -> None:
    wrapper = nn.DataParallel(tiny())
    saliency = SaliencyPass(wrapper)
    wrapper.module = tiny_torchvision()
    assert saliency.backbone.model is wrapper.module


def test_a_change_that_cannot_be_read_is_an_error_in_every_call() -> None:
    model: Any = tiny(depth=4)
    read = SaliencyPass(model, SaliencyConfig(layer=3))
    model.blocks = model.blocks[:2]
    for _ in range(2):
        with pytest.raises(MergeMixError, match="layer: got 3, wanted an index from -2 to 1"):
            read(images(model))
    model.blocks = tiny(depth=4).blocks
    assert read(images(model)).shape[1:] == (4, 4)


def test_an_attention_that_got_a_forward_of_its_own_is_not_read() -> None:
    model: Any = patch(tiny(), 2)
    read = SaliencyPass(model)
    read(images(model))
    model.blocks[0].attn.forward = lambda x, **_: x
    with pytest.raises(MergeMixError, match=r"the attention blocks\.0\.attn has its own forward"):
        read(images(model))
