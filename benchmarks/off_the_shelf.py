"""Token merging in a pretrained model without fine-tuning: k-nearest-neighbour accuracy and feature similarity.

DINOv2 ViT-S/14 on Fashion-MNIST, enlarged: features (the normalised class token) of 1,000 training images classify
1,000 others by their 20 nearest, for every matching, proportional attention on and off, and r tokens merged in each
block. There is one record per setting; settings that are in the file already are not run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.records import Record, Records
from benchmarks.study.memory import IMAGENET, FineTuning
from benchmarks.study.places import Places
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import need
from timm_mergemix.merge.matching.names import MATCHINGS
from timm_mergemix.training.images import ImageSet, MemoryBatches
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.sources import draw_splits, fashion_mnist

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Measure the effect of token merging on the features of a pretrained model without fine-tuning."
GO_ON = "Finished settings are kept; continue with"
MODEL, SIZE, IMAGES, NEIGHBOURS = "vit_small_patch14_dinov2.lvd142m", 112, 1000, 20
RS = (1, 2, 3, 4, 5)

# A matching, proportional attention, r.
Setting = tuple[str, bool, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the program."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/off_the_shelf"), metavar="DIR", help="where records go")
    add("--weights", type=Path, metavar="FILE", help="state dict of the model; by default timm's weights")
    add("--amp", action="store_true", help="run forward passes in bfloat16")


def run(args: argparse.Namespace) -> None:
    """Measures the missing settings and prints the table."""
    records = Records(make_directory(args.out) / "results.jsonl", ("matching", "prop_attn", "r"), ("knn", "similarity"))
    settings = [("none", True, 0), *product(MATCHINGS, (True, False), RS)]
    with torch.autocast("cpu", torch.bfloat16, enabled=args.amp):
        records.run_missing([(setting, setting) for setting in settings], partial(measure, weights=args.weights))
    print(table(records.read()))


def measure(settings: list[Setting], weights: Path | None) -> Iterator[Record]:
    """Yields one record per setting."""
    tuning = FineTuning(MODEL, SIZE)
    data = draw_splits(fashion_mnist(), IMAGES, 1, IMAGES, 0)
    model = tuning.build(data, Places(weights)).eval()
    train, test = (tuning.prepare(part) for part in (data.train, data.test))
    plain = features(model, train), features(model, test)
    with Reporter().bar("settings", len(settings), unit="setting") as bar:
        for matching, prop_attn, r in settings:
            own = plain
            if r:
                with mm.merging(model, r, prop_attn=prop_attn, matching=matching):
                    torch.manual_seed(0)  # because one of the matchings is random
                    own = features(model, train), features(model, test)
            yield {
                "matching": matching,
                "prop_attn": prop_attn,
                "r": r,
                "knn": neighbours(*own, train.labels, test.labels),
                "knn_of_unmerged": neighbours(plain[0], own[1], train.labels, test.labels),
                "similarity": F.cosine_similarity(own[1], plain[1]).mean().item(),
            }
            bar.step()


@torch.inference_mode()
def features(model: Any, images: ImageSet) -> Tensor:
    """(N, C) class tokens."""
    batches = MemoryBatches(images, 50, IMAGENET)
    return torch.cat([model.forward_head(model.forward_features(x), pre_logits=True).float() for x, _ in batches])


def neighbours(train: Tensor, test: Tensor, labels: Tensor, test_labels: Tensor) -> float:
    """Accuracy of the nearest training images, weighted by their distance."""
    classifier = need("sklearn.neighbors", "the nearest neighbours").KNeighborsClassifier
    knn = classifier(NEIGHBOURS, metric="cosine", weights="distance").fit(train.numpy(), labels.numpy())
    return float(knn.score(test.numpy(), test_labels.numpy()))


def table(records: list[Record]) -> str:
    """A table with one row per matching and one column per r."""
    rows = []
    for matching, prop_attn in dict.fromkeys((each["matching"], each["prop_attn"]) for each in records):
        found = {each["r"]: each for each in records if (each["matching"], each["prop_attn"]) == (matching, prop_attn)}
        cells = [f"{100 * found[r]['knn']:.1f} ({found[r]['similarity']:.3f})" if r in found else "" for r in (0, *RS)]
        rows.append([matching, "on" if prop_attn else "off", *cells])
    return markdown_table(["matching", "prop_attn", *(f"r={r}" for r in (0, *RS))], rows)


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
