"""Stands in for timm's train.py up to 1.0.22: the criterion is an argument."""

import stand_in
from stand_in import validate  # noqa: F401
from timm.data import create_loader  # noqa: F401
from timm.models import create_model  # noqa: F401

config_parser, parser = stand_in.make_parsers()


def _parse_args():
    return stand_in.parse_args(globals())


def train_one_epoch(epoch, model, loader, optimizer, loss_fn, args, amp_autocast=None, mixup_fn=None):
    def loss_of(images, target):
        with amp_autocast():
            return loss_fn(model(images), target)

    return stand_in.train_epoch(model, loader, optimizer, args, mixup_fn, loss_of)


def main():
    stand_in.run(globals(), lambda model, criterion: ([criterion], {}))


if __name__ == "__main__":
    main()
