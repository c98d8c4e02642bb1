"""Token merging in a pretrained model that never saw it: k-nearest-neighbour accuracy and similarity of features.

    python benchmarks/off_the_shelf.py --weights dinov2_vits14.pth --out runs/off_the_shelf

DINOv2 ViT-S/14 on Fashion-MNIST, enlarged: features (the normalised class token) of 1,000 training images classify
1,000 others by their 20 nearest, for every matching, proportional attention on and off, and r tokens merged in each
block. A line of JSON for each setting; what is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import timm_mergemix as mm
from benchmarks.study.places import Places
from benchmarks.study.tasks import IMAGENET, FineTuning
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.merge.matching.choose import MATCHINGS
from timm_mergemix.training.images import ImageSet, MemoryBatches
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.sources import draw_splits, fashion_mnist

MODEL, SIZE, IMAGES, NEIGHBOURS = "vit_small_patch14_dinov2.lvd142m", 112, 1000, 20
RS = (1, 2, 3, 4, 5)


def main() -> None:
    """Measures what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/off_the_shelf"))
    parser.add_argument("--weights", type=Path, help="the model's state dict; timm's if not given")
    parser.add_argument("--amp", action="store_true", help="forward passes in bfloat16")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path, settings = args.out / "results.jsonl", [("none", True, 0), *product(MATCHINGS, (True, False), RS)]
    done = {(line["matching"], line["prop_attn"], line["r"]) for line in read(path)}
    left = [setting for setting in settings if setting not in done]
    if left:
        with torch.autocast("cpu", torch.bfloat16, enabled=args.amp):
            measure(left, args.weights, path)
    print(table(read(path)))


def measure(settings: list[tuple[str, bool, int]], weights: Path | None, path: Path) -> None:
    """Adds a line for each setting."""
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
                    torch.manual_seed(0)  # one of the matchings is random
                    own = features(model, train), features(model, test)
            line = {
                "matching": matching,
                "prop_attn": prop_attn,
                "r": r,
                "knn": neighbours(*own, train.labels, test.labels),
                "knn_of_unmerged": neighbours(plain[0], own[1], train.labels, test.labels),
                "similarity": F.cosine_similarity(own[1], plain[1]).mean().item(),
            }
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            bar.step()


@torch.inference_mode()
def features(model: Any, images: ImageSet) -> Tensor:
    """(N, C) class tokens."""
    batches = MemoryBatches(images, 50, IMAGENET)
    return torch.cat([model.forward_head(model.forward_features(x), pre_logits=True).float() for x, _ in batches])


def neighbours(train: Tensor, test: Tensor, labels: Tensor, test_labels: Tensor) -> float:
    """Accuracy of the nearest training images, weighted by their distance."""
    knn = KNeighborsClassifier(NEIGHBOURS, metric="cosine", weights="distance")
    return float(knn.fit(train.numpy(), labels.numpy()).score(test.numpy(), test_labels.numpy()))


def read(path: Path) -> list[dict[str, Any]]:
    """The settings that are there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def table(lines: list[dict[str, Any]]) -> str:
    """A row for each matching, a column for each r."""
    rows = []
    for matching, prop_attn in dict.fromkeys((line["matching"], line["prop_attn"]) for line in lines):
        found = {line["r"]: line for line in lines if (line["matching"], line["prop_attn"]) == (matching, prop_attn)}
        cells = [f"{100 * found[r]['knn']:.1f} ({found[r]['similarity']:.3f})" if r in found else "" for r in (0, *RS)]
        rows.append([matching, "on" if prop_attn else "off", *cells])
    return markdown_table(["matching", "prop_attn", *(f"r={r}" for r in (0, *RS))], rows)


if __name__ == "__main__":
    main()
