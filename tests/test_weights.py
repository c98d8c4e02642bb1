"""Weights are loaded from a file, and a file of another model is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from timm_mergemix.errors import MergeMixError
from timm_mergemix.files.tensors import save_tensors
from timm_mergemix.weights import create_model, from_file


def jax_weights(weights: dict[str, Tensor], heads: int) -> dict[str, np.ndarray]:
    """The weights of a timm ViT under the names and in the shapes of the original JAX checkpoints."""
    width = weights["norm.weight"].shape[0]
    found = {
        "embedding/kernel": weights["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": weights["patch_embed.proj.bias"],
        "cls": weights["cls_token"],
        "Transformer/posembed_input/pos_embedding": weights["pos_embed"],
    }
    places = {"Transformer/encoder_norm": "norm"}
    for i in range(sum(key.endswith("norm1.weight") for key in weights)):
        there, here = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        places |= {f"{there}/LayerNorm_0": f"{here}.norm1", f"{there}/LayerNorm_2": f"{here}.norm2"}
        attention = f"{there}/MultiHeadDotProductAttention_1"
        for part, kernel in enumerate(weights[f"{here}.attn.qkv.weight"].chunk(3)):
            name = ("query", "key", "value")[part]
            found[f"{attention}/{name}/kernel"] = kernel.T.reshape(width, heads, -1)
            found[f"{attention}/{name}/bias"] = weights[f"{here}.attn.qkv.bias"].chunk(3)[part].reshape(heads, -1)
        found[f"{attention}/out/kernel"] = weights[f"{here}.attn.proj.weight"].T.reshape(heads, -1, width)
        found[f"{attention}/out/bias"] = weights[f"{here}.attn.proj.bias"]
        for layer in (0, 1):
            found[f"{there}/MlpBlock_3/Dense_{layer}/kernel"] = weights[f"{here}.mlp.fc{layer + 1}.weight"].T
            found[f"{there}/MlpBlock_3/Dense_{layer}/bias"] = weights[f"{here}.mlp.fc{layer + 1}.bias"]
    for there, here in places.items():
        found |= {f"{there}/scale": weights[f"{here}.weight"], f"{there}/bias": weights[f"{here}.bias"]}
    return {key: value.numpy() for key, value in found.items()}


# The pretrained weights of the second model come from a hub and are read by timm's loader of JAX files.
@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_loaded_in_place_of_pretrained_weights(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    weights = timm.create_model(name, num_classes=7).state_dict()
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    model = timm.create_model(name, num_classes=3, img_size=96, **from_file(path))
    assert torch.equal(model.blocks[1].attn.qkv.weight, weights["blocks.1.attn.qkv.weight"])
    assert model.pos_embed.shape[1] == 37 and model.head.out_features == 3


def test_npz_files_are_read_as_jax_weights(tmp_path: Path) -> None:
    for name in ("a.npz", "a.pth"):
        (tmp_path / name).touch()
    assert from_file(str(tmp_path / "a.npz"))["pretrained_cfg_overlay"]["custom_load"]
    assert not from_file(tmp_path / "a.pth")["pretrained_cfg_overlay"]["custom_load"]


def test_jax_weights_are_loaded_and_adapted_to_the_image_size(tmp_path: Path) -> None:
    path, name = tmp_path / "w.npz", "vit_tiny_patch16_224"
    weights = timm.create_model(name, num_classes=7).state_dict()
    np.savez(path, **jax_weights(weights, heads=3))
    model = create_model(name, num_classes=3, img_size=96, **from_file(path))
    assert model.pos_embed.shape[1] == 37
    kept = {key: value for key, value in weights.items() if not key.startswith(("head", "pos_embed"))}
    assert all(torch.equal(model.state_dict()[key], value) for key, value in kept.items())


def test_the_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"weights: got .*wanted the path of a file"):
        from_file(tmp_path)


@pytest.mark.parametrize("prefix", ["model.", "encoder."])
def test_a_file_whose_weights_have_other_names_is_refused(prefix: str, tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    torch.save({"state_dict": {prefix + key: value for key, value in weights.items()}}, tmp_path / "w.ckpt")
    message = rf"^weights: .*w.ckpt lacks \d+ of the \d+ weights of test_vit, such as .*; it has {prefix}"
    with pytest.raises(MergeMixError, match=message):
        create_model("test_vit", num_classes=3, **from_file(tmp_path / "w.ckpt"))


# ConViT initialises its values by a copy. The file of a ResNet also has running statistics.
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convit_tiny", "test_resnet"])
def test_initialisation_does_not_count_as_loading(name: str, tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "w.pth")
    heads = ("head", "fc")
    weights = [key for key, _ in timm.create_model(name).named_parameters() if not key.startswith(heads)]
    message = f"lacks {len(weights)} of the {len(weights)} weights of {name}, such as {weights[0]}; it has other"
    with pytest.raises(MergeMixError, match=message):
        create_model(name, num_classes=3, **from_file(tmp_path / "w.pth"))


def test_a_file_that_lacks_a_block_is_refused_with_the_number_of_missing_weights(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    kept = {key: value for key, value in weights.items() if not key.startswith("blocks.0.")}
    torch.save(kept, tmp_path / "w.pth")
    with pytest.raises(
        MergeMixError, match=r"lacks 12 of the \d+ weights of test_vit, such as blocks\.0\.norm1\.weight$"
    ):
        create_model("test_vit", num_classes=7, **from_file(tmp_path / "w.pth"))


def test_a_file_may_lack_the_head_and_a_few_more_weights(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    path = tmp_path / "w.pth"
    torch.save({key: value for key, value in weights.items() if not key.startswith(("head", "norm"))}, path)
    model = create_model("test_vit", num_classes=3, **from_file(path))
    assert torch.equal(model.blocks[1].attn.qkv.weight, weights["blocks.1.attn.qkv.weight"])
    assert create_model("test_vit", num_classes=0).num_classes == 0


@pytest.fixture
def swapped_tensors() -> Iterator[None]:
    """Makes modules load weights by swapping tensors instead of copying values."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield
    torch.__future__.set_swap_module_params_on_conversion(False)


@pytest.mark.usefixtures("swapped_tensors")
def test_swapped_tensors_count_as_loaded(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    torch.save(weights, tmp_path / "w.pth")
    model = create_model("test_vit", num_classes=7, **from_file(tmp_path / "w.pth"))
    assert torch.equal(model.norm.weight, weights["norm.weight"])


def test_threads_do_not_see_the_loading_of_others(tmp_path: Path) -> None:
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    torch.save(weights, tmp_path / "right.pth")
    torch.save({"other": torch.zeros(1)}, tmp_path / "wrong.pth")
    with ThreadPoolExecutor(4) as pool:
        names = ["right", "wrong"] * 6
        made = [pool.submit(create_model, "test_vit", num_classes=7, **from_file(tmp_path / f"{n}.pth")) for n in names]
    assert all(torch.equal(each.result().norm.weight, weights["norm.weight"]) for each in made[::2])
    assert all("lacks" in str(each.exception()) for each in made[1::2])


def test_a_damaged_file_of_this_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_tensors(path, timm.create_model("test_vit").state_dict())
    create_model("test_vit", **from_file(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MergeMixError, match=r"^weights: .*weights\.pt: is damaged"):
        from_file(path)
