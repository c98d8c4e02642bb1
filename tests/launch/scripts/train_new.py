"""Stands in for timm's train.py from 1.0.23 on: the criterion is an attribute of a task."""

import stand_in
import torch
from stand_in import validate  # noqa: F401
from timm.data import create_loader  # noqa: F401
from timm.models import create_model  # noqa: F401

config_parser, parser = stand_in.make_parsers()


class Task(torch.nn.Module):
    def __init__(self, model, criterion):
        super().__init__()
        self.trainable_module = model
        self.criterion = criterion

    def forward(self, images, target):
        output = self.trainable_module(images)
        return {"loss": self.criterion(output, target), "output": output}


def _parse_args():
    return stand_in.parse_args(globals())


def train_one_epoch(
    epoch, model, loader, optimizer, args, task=None, amp_autocast=None, mixup_fn=None, batch_size_reference=None
):
    def loss_of(images, target):
        with amp_autocast():
            return task(images, target)["loss"]

    return stand_in.train_epoch(model, loader, optimizer, args, mixup_fn, loss_of)


def main():
    stand_in.run(
        globals(), lambda model, criterion: ([], {"task": Task(model, criterion), "batch_size_reference": 8.0})
    )


if __name__ == "__main__":
    main()
