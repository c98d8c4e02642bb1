"""Measures how much of two images a mix shows, and whether its target agrees.

The maps are those of DINOv2 ViT-S/14 on enlarged Fashion-MNIST, with half of the tokens merged. For each selection:
the share of each image's saliency that a mix shows, the partner's share of what is seen, and its share of the target
with the ratio by area. Where the last two differ, the target is wrong about the image.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.study.memory import IMAGENET
from benchmarks.study.places import Places
from benchmarks.study.tasks import DINOV2
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.functional import count_patches, top_mask
from timm_mergemix.training.images import MemoryBatches
from timm_mergemix.training.sources import draw_splits, fashion_mnist

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Show how much of two images a mix shows, by the way its patches are selected."
GO_ON = "Nothing is kept of it; start again with"
IMAGES, ROUNDS, SEED = 200, 20, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file of the weights."""
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the model's state dict; timm's if not given")


def run(args: argparse.Namespace) -> None:
    """Prints the table."""
    maps = saliency_maps(args.weights)
    rows = []
    for name in ("own", "both", "random", "least salient"):
        torch.manual_seed(SEED)
        found = torch.cat([measure(name, maps) for _ in range(ROUNDS)])
        gap = (found[:, 2] - found[:, 3]).abs().mean()
        rows.append([name, *(f"{value:.2f}" for value in found.mean(dim=0)), f"{gap:.2f}"])
    shown = ["original's saliency seen", "partner's", "partner's share of what is seen"]
    print(markdown_table(["patches", *shown, "partner's share of the target", "mean difference of the two"], rows))


def saliency_maps(weights: Path | None) -> Tensor:
    """(IMAGES, h, w) attention maps."""
    data = draw_splits(fashion_mnist(), IMAGES, 1, 1, SEED)
    model = DINOV2.build(data, Places(weights)).eval()
    batches = MemoryBatches(DINOV2.prepare(data.train), 50, IMAGENET)
    return torch.cat([mm.saliency_map(model, images, r=("keep", 0.5)) for images, _ in batches])


def measure(name: str, own: Tensor) -> Tensor:
    """(IMAGES, 4): shares of mixes with random partners, lambda uniform."""
    partner = own[torch.randperm(len(own))]
    random = torch.rand(own.shape)
    values = {"own": own, "both": own - partner, "random": random, "least salient": -own}
    count = count_patches(torch.rand(len(own), dtype=torch.float64), own[0].numel())
    mask = top_mask(values[name], count, torch.rand(len(own), own[0].numel()))
    seen, partner_seen = ((maps * kept).sum(dim=(1, 2)) for maps, kept in ((own, mask), (partner, ~mask)))
    target = 1 - mask.float().mean(dim=(1, 2))
    return torch.stack([seen, partner_seen, partner_seen / (seen + partner_seen), target], dim=1)


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
