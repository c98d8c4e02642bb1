"""Trains and tests one method of the demo; all methods are treated alike."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from ..mix.config import find_recipe
from ..mixers.registry import create_mixer
from ..preference.config import PreferenceConfig
from .evaluate import Evaluation, evaluate
from .images import MemoryBatches, Statistics
from .loop import Job, fit
from .methods import DemoSettings, Method
from .mixers import build_mixer, mix_settings
from .model import small_vit, tokens_kept, train_merged
from .objective import NO_PREFERENCE
from .optim import Optimisation
from .pairs import PairEvaluation, evaluate_pairs
from .progress import Reporter
from .seeds import seed_all
from .sources import DemoData

__all__ = ["EVALUATION_BATCH", "Outcome", "prepare", "train_method", "training_batches"]

EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Outcome:
    """The outcome of training and testing a method.

    Attributes:
        method: The method.
        model: The trained model, patched if the method merges.
        statistics: Of the images that it was trained on.
        test: Its evaluation on the test images.
        history: One record per epoch.
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

    Checkpoints go to a directory in ``out``, one per method and settings; with ``fresh`` an earlier one is dropped.
    """
    statistics = Statistics.of(data.train.images)
    preference = PreferenceConfig(weight=settings.preference) if method.preference else NO_PREFERENCE
    job = prepare(method, data, settings, out, device, preference)
    shuffled = data.test.shuffled(settings.seed)
    val, test, mixed = (
        MemoryBatches(part, EVALUATION_BATCH, statistics, device=device) for part in (data.val, data.test, shuffled)
    )
    fit(job, training_batches(data, settings, statistics, device), val, reporter, fresh)
    generator = torch.Generator().manual_seed(settings.seed)
    cutmix = create_mixer("cutmix", num_classes=len(data.source.classes), mode="elem", generator=generator)
    return Outcome(
        method=method,
        model=job.model,
        statistics=statistics,
        test=evaluate(job.model, test, device),
        history=job.history,
        tokens=tokens_kept(job.model),
        pairs=evaluate_pairs(job.model, cutmix, mixed, device),
    )


def training_batches(
    data: DemoData, settings: DemoSettings, statistics: Statistics, device: torch.device
) -> MemoryBatches:
    """The augmented training images."""
    size = min(settings.batch_size, len(data.train)) // 2 * 2
    source = data.source
    return MemoryBatches(data.train, size, statistics, train=True, pad=source.pad, flip=source.flip, device=device)


def prepare(
    method: Method,
    data: DemoData,
    settings: DemoSettings,
    out: Path,
    device: torch.device,
    preference: PreferenceConfig = NO_PREFERENCE,
) -> Job:
    """The job of a method before its first epoch. All methods begin with the same weights.

    Args:
        method: What is trained.
        data: The images.
        settings: Of training.
        out: Directory of the runs.
        device: Where it trains.
        preference: Of the clean image over its mix.
    """
    classes, shape = len(data.source.classes), data.train.images.shape[1:]
    seed_all(settings.seed, 0)
    model = small_vit(shape, data.source.patch, classes, settings.width, settings.depth).to(device)
    if method.merges:
        train_merged(model, settings.r)
    optimisation = Optimisation(epochs=settings.epochs, lr=settings.lr, warmup_epochs=2, beta2=0.95)
    # As many batches as MergeMix's recipe mixes, whatever the mixer.
    mixing = mix_settings(method.mixer, {"prob": find_recipe("scratch")["prob"]})
    decisive = {
        "method": vars(method),
        "settings": {name: value for name, value in vars(settings).items() if name != "preference"},
        "preference": vars(preference),
        "optimisation": vars(optimisation),
        "mixing": mixing,
        "data": data.source.name,
        "images": _digest(data.train.images, data.train.labels, data.val.images, data.val.labels),
    }
    # Runs of other settings keep their directories, so that trying other settings keeps finished runs.
    key = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
    return Job(
        title=method.title,
        model=model,
        mixer=build_mixer(method.mixer, model, classes, mixing),
        optimisation=optimisation,
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
