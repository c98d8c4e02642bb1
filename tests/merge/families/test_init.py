"""Each class of model has its family, and each class of block its merging class."""

import json
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import timm
from torch import nn

import timm_mergemix as mm
from timm_mergemix.merge import families
from timm_mergemix.merge.families import (
    BLOCKS,
    FAMILIES,
    HF_FAMILIES,
    PLAIN_BLOCKS,
    family_of,
    is_old,
    is_touched,
    know_families,
    may_be_held,
)

from .cases import BUILDERS, blocks, each_case, transformer
from .hf import tiny as hf


@each_case
def test_a_model_has_the_same_family_patched_and_not(case):
    model = transformer(BUILDERS[case]())
    family = family_of(model)
    assert family in FAMILIES
    assert family_of(mm.patch(model, 2)) is family
    assert family_of(mm.unpatch(model)) is family


def test_unknown_classes_have_no_family():
    assert family_of(nn.Linear(2, 2)) is None
    assert family_of(timm.create_model("resnet18")) is None


def test_merging_classes_can_be_found_by_pickles():
    pairs = [*BLOCKS.items(), *(pair for family in FAMILIES for pair in family.models.items())]
    for plain, merging in pairs:
        assert issubclass(merging, plain)
        assert "<locals>" not in merging.__qualname__


def test_each_merging_class_belongs_to_one_plain_class():
    assert {PLAIN_BLOCKS[merging]: merging for merging in BLOCKS.values()} == BLOCKS
    models = [plain for family in FAMILIES for plain in family.models]
    assert len(models) == len(set(models))


@pytest.mark.parametrize("case", ["vit", "beit", "cait", "relpos"])
def test_a_module_is_touched_while_its_model_is_patched(case):
    model = BUILDERS[case]()
    mm.patch(model, 2)
    assert all(any(is_touched(module) for module in block.modules()) for block in blocks(model))
    mm.unpatch(model)
    assert not any(is_touched(module) for module in model.modules())


@pytest.mark.parametrize(
    ("version", "old"), [("4.57.1", True), ("5.17.9", True), ("5.18.0", False), ("5.24.0.dev0", False), ("6.0", False)]
)
def test_releases_of_transformers_are_old_or_not(version, old):
    assert is_old(SimpleNamespace(__version__=version)) is old


@pytest.fixture
def forgotten(monkeypatch):
    """As if no family of transformers had been known before."""
    for name in ("BLOCKS", "PLAIN_BLOCKS"):
        known = getattr(families, name)
        plain = {key: value for key, value in known.items() if "transformers" not in f"{key}{value}"}
        assert len(plain) < len(known)
        for key in known.keys() - plain.keys():
            monkeypatch.delitem(known, key)
    monkeypatch.setattr(families, "_known", set())
    before = list(FAMILIES)
    FAMILIES[:] = [family for family in FAMILIES if not family.name.startswith("transformers")]
    yield
    FAMILIES[:] = before


@pytest.fixture
def model():
    """Of transformers, whose families are all known."""
    built = hf.build("hf vit")
    know_families()
    return built


@hf.needs_transformers
def test_models_of_an_old_release_are_refused_with_the_release_that_is_needed(monkeypatch, model, forgotten):
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "5.17.0")
    message = "there is no merging class .* of transformers 5.18 or newer, .*; this is transformers 5.17.0$"
    with pytest.raises(mm.MergeMixError, match=message):
        mm.patch(model, 3)
    assert not families._known


@hf.needs_transformers
def test_families_of_transformers_are_added_once_by_many_threads(model, forgotten):
    threads = [threading.Thread(target=know_families) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    added = [family.name for family in FAMILIES if family.name.startswith("transformers")]
    assert len(added) == len(set(added)) == sum(module in sys.modules for module in HF_FAMILIES)


@hf.needs_transformers
def test_only_what_was_imported_is_known():
    code = (
        "import json, sys, transformers, timm_mergemix as mm\n"
        "from timm_mergemix.merge.families import know_families, _known\n"
        "know_families()\n"
        "before = sorted(_known)\n"
        "sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)\n"
        "assert mm.supported(transformers.ViTModel(transformers.ViTConfig(**sizes)))\n"
        "print(json.dumps([before, sorted(_known)]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [[], [".hf.vit"]]


@hf.needs_transformers
def test_layers_of_transformers_are_not_held_by_modules_of_the_users_own(model):
    assert not may_be_held(hf.layers(model)[0])
    assert may_be_held(timm.create_model("test_vit").blocks[0])
    assert not may_be_held(nn.Linear(2, 2))
