"""Pretrains the vision model on drawings, as the vision model of a LLaVA is pretrained on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...files.tensors import load_tensors, save_tensors
from ..progress import Reporter
from .data import VqaData
from .model import READ
from .questions import COLOURS, SHAPES

__all__ = ["STEPS", "prepare_tower"]

STEPS, BATCH, LR = 800, 64, 2e-3


def prepare_tower(model: Any, data: VqaData, path: Path, reporter: Reporter) -> None:
    """Loads vision weights that were trained to name shapes and colours, and first trains them if ``path`` is missing.

    Args:
        model: A `small_llava`, trained with torch's global seed.
        data: The drawings of the training questions.
        path: File of the weights.
        reporter: Shows the progress bar.
    """
    tower = model.model.vision_tower
    if not path.exists():
        _train(tower, data, reporter)
        save_tensors(path, tower.state_dict())  # atomic, even if another process does the same
    tower.load_state_dict(load_tensors(path))


def _train(tower: Any, data: VqaData, reporter: Reporter) -> None:
    images, shapes, colours = _named(data)
    head = nn.Linear(tower.config.hidden_size, len(SHAPES) + len(COLOURS))
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
    with reporter.bar("vision model, on shapes and colours", STEPS, unit="step") as bar:
        for _ in range(STEPS):
            rows = torch.randint(len(images), (BATCH,))
            # The mean of the tokens that the language model will read.
            tokens = tower(pixel_values=images[rows], output_hidden_states=True).hidden_states[READ][:, 1:]
            shape, colour = head(tokens.mean(dim=1)).split((len(SHAPES), len(COLOURS)), dim=1)
            loss = F.cross_entropy(shape, shapes[rows]) + F.cross_entropy(colour, colours[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.step(loss=f"{loss.item():.3f}")


def _named(data: VqaData) -> tuple[Tensor, Tensor, Tensor]:
    """The drawings whose shape and colour are both known: images, shape indices and colour indices."""
    drawings = data.train.questions.drawings
    known = [number for number, drawing in enumerate(drawings) if None not in drawing]
    found: list[Any] = [drawings[number] for number in known]
    shapes = torch.tensor([SHAPES.index(each.shape) for each in found])
    colours = torch.tensor([COLOURS.index(each.colour) for each in found])
    return data.train.images[known], shapes, colours
