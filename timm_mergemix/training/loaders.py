"""Data loaders for image folders, with timm's transforms."""

from __future__ import annotations

from typing import Any, NamedTuple

from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torch.utils.data import DataLoader

from ..errors import Words, check_int, wrong
from .folder import FolderSplits, PathDataset

__all__ = ["Loaders", "folder_loaders"]


class Loaders(NamedTuple):
    """Batches, the statistics with which their images were normalised, and the images' height and width in pixels."""

    train: DataLoader[Any]
    val: DataLoader[Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]


def folder_loaders(
    splits: FolderSplits,
    model: nn.Module,
    *,
    img_size: int | None,
    batch_size: int,
    workers: int = 0,
    auto_augment: str | None = None,
    even: bool = False,
) -> Loaders:
    """Training and validation batches, with size and normalisation of the model's timm data config.

    Workers live for one epoch: then they are seeded anew from the process's torch generator, so that an epoch does not
    depend on the epochs before it.

    Args:
        splits: The images.
        model: The model that they are for.
        img_size: Side in pixels; the model's own if None.
        batch_size: Images per batch. A last training batch that is smaller is dropped.
        workers: Processes that read images.
        auto_augment: timm's name of an augmentation policy, such as ``"rand-m9-mstd0.5-inc1"``.
        even: Whether training batches must have an even size.

    Raises:
        MergeMixError: If a number or the policy cannot be used.
    """
    check_int("batch_size", batch_size, 1 + even)
    check_int("workers", workers, 0)
    if even and batch_size % 2:
        raise wrong("batch_size", Words(batch_size), "an even number, which timm's Mixup requires")
    batch_size = min(batch_size, len(splits.train) // (1 + even) * (1 + even))
    config = resolve_model_data_config(model, {} if img_size is None else {"img_size": img_size})
    shared = {name: config[name] for name in ("input_size", "interpolation", "mean", "std")}
    try:
        train_transform = create_transform(is_training=True, auto_augment=auto_augment, **shared)
    except (AssertionError, ValueError, KeyError) as error:
        raise wrong("auto_augment", auto_augment, f"a policy that timm knows ({error})") from error
    val_transform = create_transform(is_training=False, crop_pct=config["crop_pct"], **shared)
    options: dict[str, Any] = {"batch_size": batch_size, "num_workers": workers}
    train = DataLoader(PathDataset(splits.train, train_transform), shuffle=True, drop_last=True, **options)
    val = DataLoader(PathDataset(splits.val, val_transform), **options)
    return Loaders(train, val, tuple(config["mean"]), tuple(config["std"]), tuple(config["input_size"][1:]))
