"""Trains and tests one method of the demo; all methods are treated alike."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from ..mixers.registry import create_mixer
from .evaluate import Evaluation, evaluate
from .images import MemoryBatches, Statistics
from .loop import Run, fit
from .methods import DemoSettings, Method
from .mixers import MixOptions, build_mixer
from .model import small_vit, tokens_kept, train_merged
from .objective import PreferenceOptions
from .optim import Recipe
from .pairs import PairEvaluation, evaluate_pairs
from .progress import Reporter
from .seeds import seed_all
from .sources import DemoData

__all__ = ["EVALUATION_BATCH", "Outcome", "prepare", "train_method", "training_batches"]

EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Outcome:
    """What came of a method.

    Attributes:
        method: Which one.
        model: The trained model, patched if the method merges.
        statistics: Of the images that it was trained on.
        test: Its evaluation on the test images.
        history: A record for each epoch.
        tokens: Patch tokens that leave the last block.
        pairs: How well it tells test images from their CutMix mixes, the same ones for every method.
    """

    method: Method
    model: nn.Module
    statistics: Statistics
    test: Evaluation
    history: list[dict[str, float]]
    tokens: str
    pairs: PairEvaluation

    @property
    def seconds_per_epoch(self) -> float:
        """Median time of an epoch's training, mixing included and validation not."""
        return median(record["seconds"] for record in self.history)


def train_method(
    method: Method,
    data: DemoData,
    settings: DemoSettings,
    out: Path,
    device: torch.device,
    reporter: Reporter,
    fresh: bool = False,
) -> Outcome:
    """Trains a method, or goes on where it was interrupted, and tests it with the merging that it trained with.

    Args:
        method: Which one.
        data: Images.
        settings: What the user set.
        out: Checkpoints go to a directory in it, one for each method and settings.
        device: Where to train.
        reporter: For bars and lines.
        fresh: Whether an earlier checkpoint of the same settings is dropped.
    """
    statistics = Statistics.of(data.train.images)
    preference = PreferenceOptions(weight=settings.preference) if method.preference else None
    run = prepare(method, data, settings, out, device, preference)
    if fresh:
        shutil.rmtree(run.path.parent, ignore_errors=True)
    train = training_batches(data, settings, statistics, device)
    val, test = (MemoryBatches(part, EVALUATION_BATCH, statistics, device=device) for part in (data.val, data.test))
    fit(run, train, val, reporter)
    result = evaluate(run.model, test, device)
    generator = torch.Generator().manual_seed(settings.seed)
    cutmix = create_mixer("cutmix", num_classes=len(data.source.classes), mode="elem", generator=generator)
    mixed = MemoryBatches(data.test.shuffled(settings.seed), EVALUATION_BATCH, statistics, device=device)
    pairs = evaluate_pairs(run.model, cutmix, mixed, device)
    return Outcome(method, run.model, statistics, result, run.history, tokens_kept(run.model), pairs)


def training_batches(
    data: DemoData, settings: DemoSettings, statistics: Statistics, device: torch.device
) -> MemoryBatches:
    """The augmented training images."""
    return MemoryBatches(
        data.train,
        min(settings.batch_size, len(data.train)) // 2 * 2,
        statistics,
        train=True,
        pad=data.source.pad,
        flip=data.source.flip,
        device=device,
    )


def prepare(
    method: Method,
    data: DemoData,
    settings: DemoSettings,
    out: Path,
    device: torch.device,
    preference: PreferenceOptions | None = None,
    options: MixOptions | None = None,
) -> Run:
    """The run of a method before its first epoch. All methods begin with the same weights.

    Args:
        method: What is run.
        data: The images.
        settings: Of training.
        out: Directory of the runs.
        device: Where it trains.
        preference: Of preference training; None is without.
        options: Of the mixer; None takes the recipe's.
    """
    classes, shape = len(data.source.classes), data.train.images.shape[1:]
    seed_all(settings.seed, 0)
    model = small_vit(shape, data.source.patch, classes, settings.width, settings.depth).to(device)
    if method.merges:
        train_merged(model, settings.r)
    recipe = Recipe(epochs=settings.epochs, lr=settings.lr, beta2=0.95)
    options = options or MixOptions.of("scratch", method.mixer)
    decisive = {
        "method": asdict(method),
        "settings": {name: value for name, value in asdict(settings).items() if name != "preference"},
        "preference": asdict(preference or PreferenceOptions()),
        "recipe": asdict(recipe),
        "mixing": asdict(options),
        "data": data.source.name,
        "images": _digest(data.train.images, data.train.labels, data.val.images, data.val.labels),
    }
    # Runs of other settings keep their directories, so that trying something else costs nobody a finished run.
    key = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
    return Run(
        title=method.title,
        model=model,
        mixer=build_mixer(method.mixer, model, classes, options),
        recipe=recipe,
        settings=decisive,
        path=out / "runs" / f"{method.name}-{key}" / "last.pt",
        seed=settings.seed,
        device=device,
        preference=preference,
    )


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
