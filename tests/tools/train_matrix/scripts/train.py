"""Stands in for timm's train.py: it takes the flags that all runs share and trains a tiny model."""

import shutil
from pathlib import Path

import stand_in
from stand_in import validate  # noqa: F401
from timm.data import create_loader  # noqa: F401
from timm.models import create_model  # noqa: F401

config_parser, parser = stand_in.make_parsers()
for flag in ("--data-dir", "--initial-checkpoint", "--experiment", "--img-size", "--device", "-j", "-b"):
    parser.add_argument(flag)
for flag in ("--warmup-epochs", "--drop-path", "--log-interval", "--checkpoint-hist"):
    parser.add_argument(flag)
parser.add_argument("--no-aug", action="store_true")


def _parse_args():
    args, text = stand_in.parse_args(globals())
    args.output = str(Path(args.output, args.experiment))
    return args, text


def train_one_epoch(epoch, model, loader, optimizer, loss_fn, args, amp_autocast=None, mixup_fn=None):
    def loss_of(images, target):
        return loss_fn(model(images), target)

    return stand_in.train_epoch(model, loader, optimizer, args, mixup_fn, loss_of)


def main():
    stand_in.run(globals(), lambda model, criterion: ([criterion], {}))
    newest = max(Path(_parse_args()[0].output).glob("checkpoint-*"))
    shutil.copy(newest, newest.parent / "last.pth.tar")


if __name__ == "__main__":
    main()
