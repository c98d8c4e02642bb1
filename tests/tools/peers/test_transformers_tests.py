"""Models of transformers are patched once they are complete, and the wrapped timm model becomes a ViT."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest
import timm
from torch import nn

from tools.peers.patched import Patcher
from tools.peers.transformers_tests import TIMM_TESTER, Transformers, with_vit


def hierarchy() -> tuple[type[nn.Module], type[nn.Module], type[nn.Module]]:
    """New classes for each test, which changes them: a base, a model, and a model that holds it."""

    class Base(nn.Module):
        @classmethod
        def from_pretrained(cls, report: bool) -> nn.Module | tuple[nn.Module, dict[str, str]]:
            return (cls(), {}) if report else cls()

    class Inner(Base):
        def __init__(self) -> None:
            super().__init__()
            self.vit = timm.create_model("test_vit")

    class Outer(Base):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()
            assert not hasattr(self.inner.vit, "merging")

    return Base, Inner, Outer


def test_a_model_is_patched_once_when_the_outermost_model_is_complete() -> None:
    base, inner, outer = hierarchy()
    patcher = Patcher(True)
    transformers = Transformers()
    transformers.change(base, patcher)
    transformers.change(base, patcher)  # the next test module changes them again
    assert hasattr(outer().inner.vit, "merging")
    assert patcher.count == 1
    assert hasattr(inner().vit, "merging")
    assert patcher.count == 2


def test_a_loaded_model_is_patched_with_and_without_a_loading_report() -> None:
    base, inner, _ = hierarchy()
    patcher = Patcher(True)
    Transformers().change(base, patcher)
    model, report = inner.from_pretrained(True)
    assert hasattr(model.vit, "merging")
    assert report == {}
    assert hasattr(inner.from_pretrained(False).vit, "merging")
    assert patcher.count == 2


def test_after_a_failed_constructor_the_next_model_is_still_patched() -> None:
    base, inner, _ = hierarchy()
    patcher = Patcher(True)
    Transformers().change(base, patcher)
    with pytest.raises(TypeError):
        inner(no_such_argument=1)
    inner()
    assert patcher.count == 1


def test_the_wrapper_of_timm_models_is_tested_with_a_vit() -> None:
    tester = with_vit(lambda parent: SimpleNamespace(architecture="resnet26", model_args={}, image_size=32))(None)
    model = timm.create_model(tester.architecture, **tester.model_args)
    assert model.patch_embed.img_size == (32, 32)
    patcher = Patcher(False)
    patcher(model)
    assert patcher.count == 1


def test_the_tester_of_a_module_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    transformers = Transformers()
    monkeypatch.setattr(transformers, "change", lambda base, patcher: None)
    module = ModuleType("test_modeling_timm_wrapper")
    vars(module)[TIMM_TESTER] = lambda: SimpleNamespace(image_size=32)
    transformers.adapt(module, Patcher(True))
    assert vars(module)[TIMM_TESTER]().architecture == "test_vit"
