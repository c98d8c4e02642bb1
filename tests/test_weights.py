from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from timm_mergemix.errors import MergeMixError
from timm_mergemix.weights import create_model, from_file


# The second one's own weights are read by a loader of JAX files, and come from a hub.
@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_takes_the_place_of_pretrained_weights(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    weights = timm.create_model(name, num_classes=7).state_dict()
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    model = timm.create_model(name, num_classes=3, img_size=96, **from_file(path))
    assert torch.equal(model.blocks[1].attn.qkv.weight, weights["blocks.1.attn.qkv.weight"])
    assert model.pos_embed.shape[1] == 37 and model.head.out_features == 3


def test_files_of_jax_are_told_by_their_name(tmp_path: Path) -> None:
    for name in ("a.npz", "a.pth"):
        (tmp_path / name).touch()
    assert from_file(str(tmp_path / "a.npz"))["pretrained_cfg_overlay"]["custom_load"]
    assert not from_file(tmp_path / "a.pth")["pretrained_cfg_overlay"]["custom_load"]


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"checkpoint: got .*wanted the path of a file"):
        from_file(tmp_path, "checkpoint")


@pytest.mark.parametrize("prefix", ["model.", "encoder."])
def test_a_file_whose_weights_have_other_names_is_refused(prefix: str, tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    torch.save({"state_dict": {prefix + key: value for key, value in weights.items()}}, tmp_path / "w.ckpt")
    message = rf"^weights: .*w.ckpt lacks \d+ of the \d+ weights of test_vit, such as .*; it has {prefix}"
    with pytest.raises(MergeMixError, match=message):
        create_model("test_vit", num_classes=3, **from_file(tmp_path / "w.ckpt"))
    assert torch.nn.Module.load_state_dict.__qualname__ == "Module.load_state_dict"


def test_a_file_may_lack_the_head_and_a_little_more(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    path = tmp_path / "w.pth"
    torch.save({key: value for key, value in weights.items() if not key.startswith(("head", "norm"))}, path)
    model = create_model("test_vit", num_classes=3, **from_file(path))
    assert torch.equal(model.blocks[1].attn.qkv.weight, weights["blocks.1.attn.qkv.weight"])
    assert create_model("test_vit", num_classes=0).num_classes == 0


def test_models_may_be_made_in_several_threads(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    torch.save(weights, tmp_path / "w.pth")
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(create_model, "test_vit", num_classes=7, **from_file(tmp_path / "w.pth")) for _ in range(8)]
    assert all(torch.equal(each.result().norm.weight, weights["norm.weight"]) for each in made)
    assert torch.nn.Module.load_state_dict.__qualname__ == "Module.load_state_dict"
