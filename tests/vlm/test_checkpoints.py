"""Checkpoints whose weights have other names on disk are recognised, and loaded into an existing model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.vlm.checkpoints import has_other_names, load_renamed

from ..merge.vlm.models import BUILDERS, TEXT, build, llava, prompts, transformers

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def changed(model: Any) -> Any:
    """A copy with other weights."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn(parameter.shape).to(parameter.dtype))
    return other


def assert_equal(model: Any, other: Any) -> None:
    wanted = other.state_dict()
    assert model.state_dict().keys() == wanted.keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, wanted[name]) and weight.dtype == wanted[name].dtype, name


def llama() -> Any:
    return build(transformers.LlamaForCausalLM, transformers.LlamaConfig(**TEXT))


def test_a_llava_checkpoint_has_other_names_on_disk(tmp_path: Path) -> None:
    model = llava()
    model.save_pretrained(tmp_path)
    assert (tmp_path / SINGLE).is_file() and has_other_names(model, tmp_path)
    # The same holds for a patched model.
    assert has_other_names(mm.patch(model, ("total", 8)), tmp_path)


def test_a_language_model_checkpoint_has_the_models_own_names(tmp_path: Path) -> None:
    model = llama()
    model.save_pretrained(tmp_path / "single")
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert (tmp_path / "parts" / INDEX).is_file()
    assert not has_other_names(model, tmp_path / "single") and not has_other_names(model, tmp_path / "parts")


def test_tied_weights_missing_on_disk_do_not_count_as_other_names(tmp_path: Path) -> None:
    model = build(transformers.LlamaForCausalLM, transformers.LlamaConfig(**TEXT, tie_word_embeddings=True))
    model.save_pretrained(tmp_path)
    assert not has_other_names(model, tmp_path)


def test_a_plain_module_never_has_other_names(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file({"other": torch.zeros(1)}, tmp_path / SINGLE)
    assert not has_other_names(nn.Linear(2, 2), tmp_path)


def test_a_folder_without_weights_has_no_other_names(tmp_path: Path) -> None:
    assert not has_other_names(llava(), tmp_path)
    torch.save({"language_model.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert not has_other_names(llava(), tmp_path)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shard", ["1GB", "50KB"])
def test_weights_round_trip_exactly(name: str, shard: str, tmp_path: Path) -> None:
    model = BUILDERS[name]()
    saved = changed(model)
    saved.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / (SINGLE if shard == "1GB" else INDEX)).is_file()
    modules = list(model.modules())
    load_renamed(model, tmp_path)
    assert_equal(model, saved)
    assert all(first is second for first, second in zip(model.modules(), modules, strict=True))


def test_loading_keeps_the_parameter_objects(tmp_path: Path) -> None:
    model = llava()
    parameters = dict(model.named_parameters())
    changed(model).save_pretrained(tmp_path)
    load_renamed(model, tmp_path)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())


@pytest.mark.parametrize("saved_patched", [False, True])
def test_a_patched_model_stays_patched(saved_patched: bool, tmp_path: Path) -> None:
    model, batch = mm.patch(llava(), ("total", 8)), prompts("llava", [1, 1])
    saved = changed(llava())
    if saved_patched:
        mm.patch(saved, ("total", 8))
    saved.save_pretrained(tmp_path)
    kind = type(model)
    load_renamed(model, tmp_path)
    assert_equal(model, saved)
    assert type(model) is kind
    with torch.no_grad():
        found, wanted = model(**batch).logits, mm.patch(saved, ("total", 8))(**batch).logits
        assert torch.equal(found, wanted)
        assert not torch.allclose(found, mm.unpatch(saved)(**batch).logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_of_the_model_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    model = llava().to(dtype)
    saved = changed(model)
    saved.save_pretrained(tmp_path)
    load_renamed(model, tmp_path)
    assert_equal(model, saved)


def test_weights_of_several_dtypes_round_trip_exactly(tmp_path: Path) -> None:
    model = llava()
    model.model.vision_tower.to(torch.bfloat16)  # frozen, to save memory
    saved = changed(model)
    saved.save_pretrained(tmp_path)
    load_renamed(model, tmp_path)
    assert_equal(model, saved)


def test_training_modes_and_frozen_parameters_are_kept(tmp_path: Path) -> None:
    model = llava().train()
    model.model.vision_tower.requires_grad_(False).eval()
    changed(model).save_pretrained(tmp_path)
    load_renamed(model, tmp_path)
    assert model.training and not model.model.vision_tower.training
    assert not any(parameter.requires_grad for parameter in model.model.vision_tower.parameters())
    assert all(parameter.requires_grad for parameter in model.model.language_model.parameters())


@pytest.mark.parametrize("content", [b"", b"[" * 200_000, b"\xff", b"[]", b"{}", b'{"weight_map": 3}'])
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    model = llava()
    (tmp_path / INDEX).write_bytes(content)
    with pytest.raises(MergeMixError, match=f"{INDEX}: cannot be read as the index of a checkpoint"):
        has_other_names(model, tmp_path)
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(MergeMixError, match=f"{SINGLE}: cannot be read as weights"):
        has_other_names(model, tmp_path)
