"""A small LLaVA, questions for it, and trainers for both."""

from __future__ import annotations

from typing import Any

import torch

from timm_mergemix import vlm
from timm_mergemix.vlm.partners import Pairing

from ..merge.vlm.models import labels_of, llava, prompts, transformers

__all__ = ["FixedMixer", "Questions", "collate", "llava", "make_trainer", "transformers", "weights_of"]

ANSWERS = 7


class Questions(torch.utils.data.Dataset):
    """Questions about one picture each, with answers of one to three tokens."""

    def __init__(self, length: int = 8) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Any]:
        row = prompts("llava", [1], seed=number)
        row["input_ids"][:, -1] = 20 + number % ANSWERS
        labels = labels_of(row)
        labels[:, : -1 - number % 3] = -100
        return {**{name: value[0] for name, value in row.items()}, "labels": labels[0], "answer": str(number % ANSWERS)}


class FixedMixer(vlm.ImageMixer):
    """Flips images instead of mixing them, so that a loser does not depend on the rest of its batch."""

    def __init__(self, encoder: Any = None) -> None:
        super().__init__(encoder, "mergemix" if encoder is not None else "cutmix", leave_out=("0", "1"))

    def pair(self, examples: Any) -> Any:
        kept = [row for row, each in enumerate(examples) if self.rule.reason(each) is None]
        own = tuple(examples[row] for row in kept)
        return Pairing(tuple(kept), own, own, {"fixed": len(examples) - len(kept)})

    def mix(self, pairing: Any, saliency: Any = None) -> vlm.Mixes:
        images = torch.stack([each.image.flip(-1) for each in pairing.own])
        ratio = torch.tensor([0.1 + 0.1 * int(each.answer) for each in pairing.own])
        return vlm.Mixes(images, ratio)


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    stacked = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: torch.stack(each) if isinstance(each[0], torch.Tensor) else each for name, each in stacked.items()}


def make_trainer(folder: Any, model: Any = None, mixer: Any = ..., cls: Any = None, **options: Any) -> Any:
    """A trainer for the questions; ``options`` are arguments of `TrainingArguments` or of the trainer."""
    model = llava() if model is None else model
    names = ("preference", "saliency", "reference", "callbacks", "train_dataset", "data_collator")
    own = {name: options.pop(name) for name in names if name in options}
    settings = {
        "per_device_train_batch_size": 4, "max_steps": 2, "logging_steps": 1, "report_to": [], "use_cpu": True,
        "save_strategy": "no", "disable_tqdm": True, "learning_rate": 0.1, "optim": "sgd", "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant", "dataloader_pin_memory": False, "seed": 3,
    }  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **{**settings, **options})
    mixer = vlm.ImageMixer(model, leave_out=()) if mixer is ... else mixer
    data = {"train_dataset": Questions(), "eval_dataset": Questions(4), "data_collator": collate}
    trainer = (cls or vlm.MergeMixTrainer)(model=model, args=args, mixer=mixer, **{**data, **own})
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def weights_of(model: Any) -> torch.Tensor:
    """All weights as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
