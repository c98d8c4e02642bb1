"""peft's test cases for an MLP are renamed to the layers of a ViT, and its tests get a ViT."""

from types import ModuleType, SimpleNamespace

import torch

from tools.peers.patched import Patcher
from tools.peers.peft_tests import Models, Peft, for_vit


def test_layers_are_renamed_in_lists_patterns_and_keys() -> None:
    options = {"target_modules": ["lin0", "lin1"], "modules_to_save": ["lin1"], "r": 4, "rank_pattern": {"lin0": 2}}
    renamed = {"target_modules": ["qkv", "fc1"], "modules_to_save": ["head"], "r": 4, "rank_pattern": {"qkv": 2}}
    assert for_vit(options) == renamed
    assert for_vit({"target_modules": "lin0", "bias": "none"}) == {"target_modules": ".*qkv", "bias": "none"}


def test_cases_are_replaced_in_place_in_the_list_of_the_marks() -> None:
    module = ModuleType("test_custom_models")
    cases = [("a", "MLP", dict, {"target_modules": ["lin0"]}), ("b", "Conv2d", dict, {})]
    tests = type("Tests", (), {"transformers_class": None, "__module__": module.__name__})
    vars(module).update(TEST_CASES=cases, Tests=tests)
    Peft().adapt(module, Patcher(True))
    assert cases == [("a", "ViT", dict, {"target_modules": ["qkv"]})]
    assert isinstance(vars(tests)["transformers_class"], Models)


def test_each_call_returns_the_same_model_in_the_requested_dtype() -> None:
    models = Models(Patcher(True))
    first, second = (models.from_pretrained("ViT", dtype=torch.float64) for _ in range(2))
    assert torch.equal(first.vit.head.weight, second.vit.head.weight)
    assert first.vit.head.weight.dtype == torch.float64


def test_only_tests_that_use_the_cases_are_selected() -> None:
    case = SimpleNamespace(callspec=SimpleNamespace(params={"model_id": "ViT"}))
    assert Peft().wants(case, [])
    assert not Peft().wants(SimpleNamespace(), [])
