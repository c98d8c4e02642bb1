"""timm's test module gets patched models; tests of other models and those that need the hub are left out."""

from types import ModuleType, SimpleNamespace

import timm

from timm_mergemix.merge.model import MergingModel
from tools.peers.patched import Patcher
from tools.peers.timm_tests import Timm, model_name


def item(name: str, **params: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, callspec=SimpleNamespace(params=params))


def test_create_model_is_replaced_only_in_the_test_module() -> None:
    module = ModuleType("test_models")
    create = vars(module)["create_model"] = timm.create_model
    Timm().adapt(module, Patcher(True))
    assert isinstance(vars(module)["create_model"]("test_vit", num_classes=3), MergingModel)
    assert timm.create_model is create


def test_the_model_name_is_without_its_tag() -> None:
    assert model_name(item("test_a[1-vit.tag]", model_name="vit.tag")) == "vit"
    assert model_name(SimpleNamespace(name="test_a")) is None


def test_tests_of_chosen_models_and_without_a_model_name_are_selected() -> None:
    wants = Timm().wants
    assert wants(item("test_a[vit]", model_name="vit"), ["vit"])
    assert not wants(item("test_a[other]", model_name="other"), ["vit"])
    assert wants(SimpleNamespace(name="test_naflexvit"), [])
    assert not wants(item("test_model_load_pretrained[vit]", model_name="vit"), ["vit"])
