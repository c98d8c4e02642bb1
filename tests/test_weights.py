from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from timm_mergemix.errors import MergeMixError
from timm_mergemix.weights import from_file


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
