"""Does mixing images with their masks help a small segmentation network? Tested on drawings with alpha masks.

A network of ten lines learns to separate objects from the background on a few hundred images, without mixing and with
each way of mixing. For each seed, initial weights and image order are the same. Half of the batches are mixed.
There is one record per way and seed; trainings that are in the file already are not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.drawings import CLIPART, Drawings, split_drawings
from benchmarks.records import Record, Records
from timm_mergemix.cli.device import cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.functional import soft_masks
from timm_mergemix.training.progress import Reporter
from timm_mergemix.viz.canvas import displayable, new_figure, show_image

__all__ = ["ARMS", "GO_ON", "SUMMARY", "Net", "add_arguments", "run"]

SUMMARY = "Train a small segmentation network on drawings, with and without mixing of images and masks."
GO_ON = "Finished trainings are kept; continue with"
SIZE, TEST, BATCH, LEARNING_RATE, PROB = 64, 500, 32, 3e-3, 0.5

Mix = Callable[[Tensor, Tensor], mm.MixedBatch]


class Net(nn.Module):
    """A U-Net of three scales, the first at half the size of the image: (B, 3, H, W) -> (B, 2, H, W)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.stem = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.down = nn.ModuleList(_layers(a, b) for a, b in zip([width, *widths], widths, strict=False))
        self.up = nn.ModuleList(_layers(a + b, a) for a, b in zip(widths[1::-1], widths[:0:-1], strict=True))
        self.head = nn.ConvTranspose2d(width, 2, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits of background and object."""
        x = self.stem(x)
        passed: list[Tensor] = []
        for layers in self.down:
            x = layers(F.max_pool2d(x, 2) if passed else x)
            passed.append(x)
        for layers, before in zip(self.up, passed[-2::-1], strict=True):
            x = layers(torch.cat([before, F.interpolate(x, scale_factor=2)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _layers(before: int, after: int) -> nn.Sequential:
    each = [[nn.Conv2d(a, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()] for a in (before, after)]
    return nn.Sequential(*each[0], *each[1])


def mixup() -> Mix:
    """Blends pixels, so the masks become soft."""
    mixer = mm.Mixup(1.0, prob=PROB, num_classes=None)
    return lambda images, masks: mixer.mix(images, masks=soft_masks(masks, 2))


def cutmix() -> Mix:
    """Pastes boxes."""
    mixer = mm.Mixup(0.0, 1.0, prob=PROB, num_classes=None)
    return lambda images, masks: mixer.mix(images, masks=masks)


def resizemix() -> Mix:
    """Pastes whole images at a smaller size."""
    mixer = mm.ResizeMix(prob=PROB, num_classes=None)
    return lambda images, masks: mixer.mix(images, masks=masks)


def mergemix(by_masks: bool) -> Mix:
    """Keeps patches of 8 pixels by the attention of an untrained encoder, or by the mask of the object."""
    encoder = timm.create_model("vit_tiny_patch16_224", img_size=SIZE, patch_size=8, depth=2, num_classes=0).eval()
    alone: dict[str, Any] = {"mergemix_prob": 1.0, "prob": PROB, "saliency_r": 0}
    mixer = mm.MergeMix(encoder, None, **alone)

    def mix(images: Tensor, masks: Tensor) -> mm.MixedBatch:
        saliency = F.avg_pool2d(masks.float(), 8) if by_masks else None
        return mixer.mix(images, saliency=saliency, masks=masks)

    return mix


ARMS: dict[str, Callable[[], Mix] | None] = {
    "no mixing": None,
    "Mixup": mixup,
    "CutMix": cutmix,
    "ResizeMix": resizemix,
    "MergeMix, random encoder": partial(mergemix, by_masks=False),
    "MergeMix, masks as saliency": partial(mergemix, by_masks=True),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the program."""
    add = parser.add_argument
    add("--data", type=Path, default=CLIPART, metavar="DIR", help="PNG files with alpha, also in subfolders")
    add("--out", type=Path, default=Path("runs/segmentation"), metavar="DIR", help="where records go")
    add("--train", type=int, default=200, metavar="N", help="training images")
    add("--epochs", type=int, default=40, metavar="N", help="epochs")
    add(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="SEED",
        help="seeds; one training per seed and way of mixing",
    )
    add("--picture", type=Path, metavar="FILE", help="also draw images, masks and mixes to this file")


def run(args: argparse.Namespace) -> None:
    """Runs the missing trainings and prints the table."""
    out = make_directory(args.out)
    train, test = split_drawings(args.data, args.train, TEST, SIZE)
    if args.picture is not None:
        draw(train).savefig(args.picture)
    settings = {"train": args.train, "epochs": args.epochs, "batch": BATCH, "rate": LEARNING_RATE, "prob": PROB}
    settings |= {"masks": hashlib.sha256(torch.cat([train.masks, test.masks]).numpy().tobytes()).hexdigest()[:16]}
    records = Records(out / "segmentation.jsonl", ("arm", "seed", "settings"), ("iou", "seconds"))
    wanted = [((arm, seed, settings), (arm, seed)) for seed in args.seeds for arm in ARMS]
    with cpu_threads(1):
        found = records.run_missing(wanted, partial(measure, train=train, test=test, settings=settings))
    print(table(found))


def measure(
    trials: list[tuple[str, int]], train: Drawings, test: Drawings, settings: dict[str, Any]
) -> Iterator[Record]:
    """Yields one record per training."""
    with Reporter().bar("trainings", len(trials), unit="training") as bar:
        for arm, seed in trials:
            start = time.perf_counter()
            model = fit(arm, seed, train, settings["epochs"])
            seconds = time.perf_counter() - start
            yield {"arm": arm, "seed": seed, "settings": settings, "iou": iou(model, test), "seconds": seconds}
            bar.step()


def fit(arm: str, seed: int, data: Drawings, epochs: int) -> Net:
    """Trains a network on mixes."""
    torch.manual_seed(seed)
    model = Net()
    build = ARMS[arm]
    mix = None if build is None else build()
    loss = mm.DenseSoftTargetLoss()
    steps = epochs * (len(data.images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # seeded again, because a way of mixing may have created an encoder
    for _ in range(epochs):
        for rows in torch.randperm(len(data.images), generator=order).split(BATCH):
            if len(rows) < BATCH:
                continue
            images, masks = data.images[rows], data.masks[rows]
            batch = None if mix is None else mix(images, masks)
            inputs, target = (images, masks) if batch is None else (batch.images, batch)
            optimizer.zero_grad()
            loss(model(2 * inputs - 1), target).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def iou(model: Net, data: Drawings) -> float:
    """Intersection over union of the object, computed over the pixels of all images."""
    parts = zip(data.images.split(100), data.masks.split(100), strict=True)
    both = [(model(2 * images - 1).argmax(dim=1) == 1, masks == 1) for images, masks in parts]
    common, either = (
        sum(int(part.sum()) for part in parts) for parts in ((a & b for a, b in both), (a | b for a, b in both))
    )
    return common / max(1, either)


def table(records: list[Record]) -> str:
    """A table with one row per way of mixing."""
    rows = []
    for arm in ARMS:
        values = [100 * record["iou"] for record in records if record["arm"] == arm]
        if values:
            rows.append([arm, f"{statistics.mean(values):.1f}", ", ".join(f"{value:.1f}" for value in values)])
    return markdown_table(["mixing", "IoU of the object, %", "each seed"], rows)


def draw(data: Drawings, count: int = 4) -> Any:
    """A matplotlib figure of images and masks, unmixed and mixed in each way."""
    figure = new_figure(1.4 * len(ARMS), 2.8 * count + 0.4)
    axes = figure.subplots(2 * count, len(ARMS), squeeze=False)
    for column, (arm, build) in enumerate(ARMS.items()):
        torch.manual_seed(0)
        images, masks = (
            displayable(each, None, None) for each in _mixed(build, data.images[:count], data.masks[:count])
        )
        axes[0, column].set_title(arm.replace(", ", ",\n"), fontsize=9)
        for row in range(count):
            show_image(axes[2 * row, column], images[row], "")
            show_image(axes[2 * row + 1, column], masks[row], "")
    return figure


def _mixed(build: Callable[[], Mix] | None, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Images, and masks (B, 1, H, W) from 0 to 1, of a batch that is always mixed."""
    if build is None:
        return images, masks.unsqueeze(1).float()
    mix = build()
    while True:
        batch = mix(images, masks)
        if batch.masks is not None and "none" not in batch.kind:
            shares = batch.masks[:, 1:] if batch.masks.ndim == 4 else batch.masks.unsqueeze(1)
            return batch.images, shares.float()


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
