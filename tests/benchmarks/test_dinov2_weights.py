"""A state dict of timm's DINOv2 survives the conversion to an ONNX file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from benchmarks import dinov2_weights
from benchmarks.command import main

onnx = pytest.importorskip("onnx")

DEPTH = 2


def model() -> torch.nn.Module:
    """A small DINOv2 of timm."""
    torch.manual_seed(0)
    name, size = "vit_small_patch14_dinov2", {"embed_dim": 12, "num_heads": 2, "img_size": 28}
    made = timm.create_model(name, depth=DEPTH, num_classes=0, **size)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def export(state: dict[str, Tensor], path: Path) -> None:
    """An ONNX file as exported from Hugging Face's model: weights of products are transposed and renamed."""
    stem, values, nodes = "backbone.embeddings.", {}, []
    values[f"{stem}cls_token"] = state["cls_token"]
    values["onnx::Reshape_1"], values["onnx::Concat_2"] = state["pos_embed"][:, 1:], state["pos_embed"][:, :1]
    for part in ("weight", "bias"):
        values[f"{stem}patch_embeddings.projection.{part}"] = state[f"patch_embed.proj.{part}"]
        values[f"backbone.layernorm.{part}"] = state[f"norm.{part}"]
    for i in range(DEPTH):
        own, node, block = f"backbone.encoder.layer.{i}.", f"/backbone/encoder/layer.{i}/", f"blocks.{i}."
        weights = dict(zip(("query", "key", "value"), state[f"{block}attn.qkv.weight"].chunk(3), strict=True))
        products = {f"attention/attention/{part}": weight for part, weight in weights.items()}
        products |= {"attention/output/dense": state[f"{block}attn.proj.weight"]}
        products |= {f"mlp/{layer}": state[f"{block}mlp.{layer}.weight"] for layer in ("fc1", "fc2")}
        for part, weight in products.items():
            values[f"onnx::MatMul_{len(values)}"] = weight.T
            nodes.append(onnx.helper.make_node("MatMul", ["x", list(values)[-1]], ["y"], name=f"{node}{part}/MatMul"))
        for part, bias in zip(weights, state[f"{block}attn.qkv.bias"].chunk(3), strict=True):
            values[f"{own}attention.attention.{part}.bias"] = bias
        values[f"{own}attention.output.dense.bias"] = state[f"{block}attn.proj.bias"]
        for scale in (1, 2):
            values[f"{own}layer_scale{scale}.lambda1"] = state[f"{block}ls{scale}.gamma"]
            for part in ("weight", "bias"):
                values[f"{own}norm{scale}.{part}"] = state[f"{block}norm{scale}.{part}"]
            values[f"{own}mlp.fc{scale}.bias"] = state[f"{block}mlp.fc{scale}.bias"]
    tensors = [onnx.numpy_helper.from_array(value.contiguous().numpy(), name) for name, value in values.items()]
    graph = onnx.helper.make_graph(nodes, "made", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), path)


def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]) -> int:
    monkeypatch.setattr(dinov2_weights, "DEPTH", DEPTH)
    export(state, tmp_path / "model.onnx")
    return main(dinov2_weights, [str(tmp_path / "model.onnx"), str(tmp_path / "weights.pth")])


def test_the_weights_equal_the_exported_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {name: value.detach() for name, value in model().state_dict().items()}
    assert convert(tmp_path, monkeypatch, state) == 0
    found = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert found.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_files_of_another_kind_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "weights.pth")
    assert main(dinov2_weights, [str(tmp_path / "none.onnx"), out]) == 2
    assert "wanted the path of a file" in capsys.readouterr().err
    (tmp_path / "text.onnx").write_text("no ONNX file")
    assert main(dinov2_weights, [str(tmp_path / "text.onnx"), out]) == 2
    assert "cannot be read" in capsys.readouterr().err
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), tmp_path / "empty.onnx")
    assert main(dinov2_weights, [str(tmp_path / "empty.onnx"), out]) == 2
    assert "is not Hugging Face's Dinov2Model: it has no 'backbone.embeddings.cls_token'" in capsys.readouterr().err
