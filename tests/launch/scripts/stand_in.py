"""What the stand-ins for timm's train.py share. `make test-train` runs the launcher on real ones."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from timm import utils
from timm.data import FastCollateMixup, Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import nn

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
SIZE = (3, 32, 32)


class Pictures(torch.utils.data.Dataset):
    """Noise, whose colour says its class."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.labels = [i % 4 for i in range(count)]
        self.pixels = [rng.integers(0, 100 + 50 * label, (32, 32, 3), dtype=np.uint8) for label in self.labels]
        self.transform: Any = None  # timm's loader sets it

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def make_parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    config_parser = argparse.ArgumentParser(add_help=False)
    config_parser.add_argument("-c", "--config", default="")
    parser = argparse.ArgumentParser(description="Stands in for timm's train.py")
    add = parser.add_argument
    add("--model", default="vit_tiny_patch16_224")
    add("--model-kwargs", nargs="*", default={}, action=utils.ParseKwargs)
    add("--num-classes", type=int, default=4)
    add("--output", default="")
    add("--resume", default="")
    add("--epochs", type=int, default=2)
    add("--lr", type=float, default=0.05)
    add("--seed", type=int, default=42)
    add("--mean", type=float, nargs="+", default=list(MEAN))
    add("--std", type=float, nargs="+", default=list(STD))
    for flag in ("--mixup", "--cutmix", "--smoothing"):
        add(flag, type=float, default=0.0)
    add("--cutmix-minmax", type=float, nargs="+", default=None)
    add("--mixup-prob", type=float, default=1.0)
    add("--mixup-switch-prob", type=float, default=0.5)
    add("--mixup-mode", default="batch")
    for flag in ("--mixup-off-epoch", "--aug-splits"):
        add(flag, type=int, default=0)
    for flag in ("--bce-loss", "--no-prefetcher", "--amp", "--jsd-loss", "--torchscript", "--naflex-loader"):
        add(flag, action="store_true")
    return config_parser, parser


def parse_args(script: dict[str, Any]) -> tuple[argparse.Namespace, str]:
    config, remaining = script["config_parser"].parse_known_args()
    if config.config:
        script["parser"].set_defaults(**yaml.safe_load(Path(config.config).read_text()))
    args = script["parser"].parse_args(remaining)
    return args, yaml.safe_dump(args.__dict__)


def make_criterion(args: argparse.Namespace) -> nn.Module:
    mixup = args.mixup > 0 or args.cutmix > 0
    if args.bce_loss and (mixup or args.smoothing):
        return BinaryCrossEntropy(smoothing=0.0 if mixup else args.smoothing)
    if mixup:
        return SoftTargetCrossEntropy()
    return LabelSmoothingCrossEntropy(args.smoothing) if args.smoothing else nn.CrossEntropyLoss()


def make_loaders(script: dict[str, Any], args: argparse.Namespace) -> tuple[Any, Any, Any]:
    mixup_args = dict(mixup_alpha=args.mixup, cutmix_alpha=args.cutmix, label_smoothing=args.smoothing, num_classes=4)
    asked = args.mixup > 0 or args.cutmix > 0
    shared = dict(input_size=SIZE, mean=args.mean, std=args.std, num_workers=0, persistent_workers=False)
    shared |= dict(device=torch.device("cpu"), use_prefetcher=not args.no_prefetcher, no_aug=True)
    collate = FastCollateMixup(**mixup_args) if asked and not args.no_prefetcher else None
    train = script["create_loader"](Pictures(16, 0), batch_size=8, is_training=True, collate_fn=collate, **shared)
    evaluation = script["create_loader"](Pictures(8, 1), batch_size=8, is_training=False, **shared)
    return train, evaluation, Mixup(**mixup_args) if asked and args.no_prefetcher else None


def run(script: dict[str, Any], train: Any) -> None:
    """The main function. ``train(model, criterion)`` gives what is different in calls of ``train_one_epoch``."""
    print("stands in for timm's train.py")
    args, text = script["_parse_args"]()
    args.prefetcher, args.rank, args.distributed = not args.no_prefetcher, 0, False
    utils.random_seed(args.seed, args.rank)
    model = script["create_model"](args.model, num_classes=args.num_classes, **args.model_kwargs)
    loader, loader_eval, mixup_fn = make_loaders(script, args)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    positional, named = train(model, make_criterion(args))
    out = Path(args.output)
    out.mkdir(parents=True, exist_ok=True)
    (out / "args.yaml").write_text(text)
    start = 0
    if args.resume:
        saved = torch.load(args.resume)
        model.load_state_dict(saved["state_dict"])
        start = saved["epoch"] + 1
    named["amp_autocast"] = partial(torch.autocast, "cpu", torch.bfloat16) if args.amp else nullcontext
    for epoch in range(start, args.epochs):
        torch.manual_seed(epoch)  # the order of the data; timm's samplers do likewise
        metrics = script["train_one_epoch"](
            epoch, model, loader, optimizer, *positional, args, mixup_fn=mixup_fn, **named
        )
        evaluation = script["validate"](model, loader_eval, nn.CrossEntropyLoss(), args)
        path = out / "summary.csv"
        utils.update_summary(epoch, metrics, evaluation, filename=path, write_header=not path.exists())
        torch.save({"state_dict": model.state_dict(), "epoch": epoch}, out / f"checkpoint-{epoch}.pth.tar")


def train_epoch(model: Any, loader: Any, optimizer: Any, args: argparse.Namespace, mixup_fn: Any, loss_of: Any) -> Any:
    model.train()
    losses = []
    for images, target in loader:
        if mixup_fn is not None:
            images, target = mixup_fn(images, target)
        loss = loss_of(images, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return OrderedDict(loss=sum(losses) / len(losses))


@torch.inference_mode()
def validate(model: nn.Module, loader: Any, loss_fn: nn.Module, args: argparse.Namespace) -> dict[str, float]:
    model.eval()
    losses = [loss_fn(model(images), target).item() for images, target in loader]
    return {"loss": sum(losses) / len(losses)}
