"""The model and the images that ``timm-mergemix show`` and ``tune`` work on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from timm.data import create_transform, resolve_model_data_config
from timm.models import load_checkpoint
from torch import Tensor, nn
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..errors import Words, named, unusable, wrong
from ..files.tensors import check_unchanged
from ..merge.find.feature_maps import FeatureMaps, find_encoder
from ..merge.info import merge_info
from ..merge.patch import merging
from ..training.folder import read_image
from ..training.model import build_model
from ..training.seeds import seed_all
from ..weights import from_file
from .device import choose_device

__all__ = [
    "Scene",
    "class_folders",
    "find_classes",
    "find_images",
    "load_classifier",
    "load_scene",
    "merges",
    "model_arguments",
    "prepare_images",
]


@dataclass(frozen=True)
class Scene:
    """The model and the images that are drawn.

    Attributes:
        model: On its device, in eval mode.
        images: (B, C, H, W), normalised, there too.
        labels: (B,) classes of a labelled folder, else a number for each image.
        names: Of the classes, or of the images.
        config: How timm prepares images for the model.
        r: Token merging, as it was typed.
        seed: Draws the mixes.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    names: list[str]
    config: dict[str, Any]
    r: Any
    seed: int


def find_images(given: Sequence[Path]) -> list[Path]:
    """Lists the given files. A directory stands for its images, sorted, or for those of its class directories.

    Raises:
        MergeMixError: If there is nothing of that name, or a directory has no image.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = _images_in(path) or _in_turn([_images_in(folder) for folder in class_folders([path])])
            if not inside:
                raise wrong("images", str(path), "a directory with images in it")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise wrong("images", str(path), "an image file or a directory of them")
    return found


def class_folders(given: Sequence[Path]) -> list[Path]:
    """Returns the class directories of a folder; an empty list if it is not a folder of classes."""
    if len(given) != 1 or not given[0].is_dir() or _images_in(given[0]):
        return []
    inside = sorted(path for path in given[0].iterdir() if path.is_dir() and _images_in(path))
    return inside if len(inside) > 1 else []


def find_classes(given: Sequence[Path], count: int) -> tuple[list[Path], list[int], list[str]]:
    """Returns paths of at most ``count`` images of a folder of classes, their labels, and the names of the classes.

    Raises:
        MergeMixError: If it is not such a folder.
    """
    folders = class_folders(given)
    if not folders:
        raise wrong("images", [str(path) for path in given], "one directory with a directory of images for each class")
    inside = [_images_in(folder)[: max(1, count // len(folders))] for folder in folders]
    paths = [path for images in inside for path in images]
    labels = [label for label, images in enumerate(inside) for _ in images]
    return paths, labels, [folder.name for folder in folders]


def load_scene(
    args: argparse.Namespace, paths: Sequence[Path], labels: Sequence[int], names: list[str], *, head: bool
) -> Scene:
    """Builds the model and reads the images; with ``head`` the model must know the classes, by a checkpoint.

    Raises:
        MergeMixError: If the model, its weights, the images or r do not fit.
    """
    device = choose_device(args.device, args.seed)
    seed_all(args.seed, 0)  # random weights follow it too
    model = (load_classifier(args, len(names)) if head else _load_encoder(args)).to(device).eval()
    images, config = prepare_images(model, paths, args.img_size)
    images = images.to(device)
    if merges(model):
        with merging(model, args.r):  # an r that does not fit is said now, before anything is drawn
            merge_info(model, config["input_size"][1:])
    return Scene(model, images, torch.tensor(labels, device=device), names, config, args.r, args.seed)


def merges(model: nn.Module) -> bool:
    """Whether the tokens of a model can merge; False if only its feature maps can be read.

    Raises:
        MergeMixError: If it can do neither.
    """
    return not isinstance(find_encoder(model, "model"), FeatureMaps)


def prepare_images(
    model: nn.Module, paths: Sequence[Path], img_size: int | None, argument: str = "images"
) -> tuple[Tensor, dict[str, Any]]:
    """Reads images as timm prepares them for a model; returns (B, C, H, W) on the CPU, and timm's data config.

    Args:
        model: The model.
        paths: Files of images.
        img_size: Side of the images; None takes the model's own.
        argument: The name of the argument in errors about an image.
    """
    config = resolve_model_data_config(model, args={"img_size": img_size})
    shared = {name: config[name] for name in ("input_size", "interpolation", "mean", "std")}
    prepare = create_transform(is_training=False, crop_pct=1.0, **shared)
    return torch.stack([prepare(read_image(path, argument)) for path in paths]), config


def _load_encoder(args: argparse.Namespace) -> nn.Module:
    file = args.checkpoint or args.weights
    with named(weights="checkpoint" if args.checkpoint else "weights"):
        kwargs = model_arguments(args, file)
        return build_model(args.model, 0, pretrained=args.pretrained, img_size=args.img_size, kwargs=kwargs)


def model_arguments(args: argparse.Namespace, file: str | Path | None) -> dict[str, Any]:
    """What timm builds a model with: ``--model-kwargs``, and the weights in a file if there is one."""
    return {**args.model_kwargs, **(from_file(file) if file else {})}


def load_classifier(args: argparse.Namespace, classes: int) -> nn.Module:
    """Builds the model of a checkpoint, including its head.

    Raises:
        MergeMixError: If there is no checkpoint, or it does not fit the model and the classes.
    """
    if args.checkpoint is None:
        raise wrong("checkpoint", Words("none"), "a model that was trained on these classes")
    model = build_model(args.model, classes, img_size=args.img_size, kwargs=args.model_kwargs)
    try:
        check_unchanged(args.checkpoint)
        load_checkpoint(model, str(args.checkpoint))
    except Exception as error:  # whatever a file format or a model raises
        raise unusable("checkpoint", f"{args.checkpoint} cannot be loaded: {error}") from error
    return model


def _in_turn(classes: Sequence[Sequence[Path]]) -> list[Path]:
    """Returns the first image of each class, then the second of each, and so on."""
    return [path for row in zip_longest(*classes) for path in row if path is not None]


def _images_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.suffix.lower() in IMG_EXTENSIONS)
