"""Full-size tasks for GPUs, with timm's datasets and models."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from timm.data import create_dataset, create_transform, resolve_model_data_config
from torch.utils.data import DataLoader, Subset

from timm_mergemix.errors import unusable, wrong
from timm_mergemix.training.folder import PathDataset, find_folder
from timm_mergemix.training.images import Statistics
from timm_mergemix.training.model import build_model
from timm_mergemix.weights import from_file

from .places import Places
from .setup import HeldOut, Setup

__all__ = ["FromTimm"]

VALIDATION = 0.05
# Maximum number of images for the learning curve, and for the pairs.
CURVE = 2000


@dataclass(frozen=True)
class FromTimm:
    """A timm dataset, or an image folder, and a timm model.

    Attributes:
        dataset: Name for ``timm.data.create_dataset``; empty for an image folder with train/ and val/ or test/.
        model: Name of a timm model.
        classes: Number of classes.
        batch_size: Images per step.
        pretrained: Whether training begins with timm's weights.
    """

    dataset: str
    model: str
    classes: int
    batch_size: int
    pretrained: bool = False

    @property
    def facts(self) -> list[Any]:
        """Returns everything that defines the task."""
        return list(astuple(self))

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """Makes the setup; the seed draws the validation images and the weights."""
        weights = from_file(places.weights) if self.pretrained and places.weights else {}
        model = build_model(self.model, self.classes, pretrained=self.pretrained, kwargs=weights)
        config = resolve_model_data_config(model)
        shared = {name: config[name] for name in ("input_size", "interpolation", "mean", "std")}
        augmented = create_transform(is_training=True, auto_augment="rand-m9-mstd0.5-inc1", **shared)
        plain = create_transform(is_training=False, crop_pct=config["crop_pct"], **shared)
        images, held_out = (self._images(True, places, transform) for transform in (augmented, plain))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).tolist()
        count = max(1, int(VALIDATION * len(images)))
        held = [Subset(held_out, order[:size]) for size in (count, min(count, CURVE))]
        options: dict[str, Any] = {"batch_size": self.batch_size, "num_workers": places.workers}
        train = DataLoader(Subset(images, order[count:]), shuffle=True, drop_last=True, **options)
        val, curve = (DataLoader(part, **options) for part in held)
        test = self._test(seed, places, plain, options)
        statistics = Statistics(tuple(config["mean"]), tuple(config["std"]))
        return Setup(model.to(device), self.classes, statistics, train, HeldOut(val, val, curve), test, curve)

    def _test(self, seed: int, places: Places, transform: Any, options: dict[str, Any]) -> HeldOut:
        images = self._images(False, places, transform)
        # A folder lists its images class by class, so images in a batch would have no partner of another class.
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).tolist()
        test, pairs = (DataLoader(part, **options) for part in (images, Subset(images, order[:CURVE])))
        return HeldOut(test, test, pairs)

    def _images(self, train: bool, places: Places, transform: Any) -> Any:
        if places.data is None:
            raise wrong("data-dir", None, "the directory of the images")
        find = self._named if self.dataset else self._folder
        return find(train, places.data, transform)

    def _named(self, train: bool, root: Path, transform: Any) -> Any:
        split = "train" if train else "validation"
        options = {"is_training": train, "download": True, "transform": transform}
        try:
            return create_dataset(self.dataset, root=str(root), split=split, **options)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise unusable("data-dir", f"{self.dataset} in {root}: {error}") from error

    def _folder(self, train: bool, root: Path, transform: Any) -> PathDataset:
        splits = find_folder(root)
        if len(splits.classes) != self.classes:
            raise unusable("data-dir", f"{root} has {len(splits.classes)} classes, wanted {self.classes}")
        return PathDataset(splits.train if train else splits.val, transform)
