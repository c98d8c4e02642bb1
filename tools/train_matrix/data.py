"""The files that the runs read: images of four classes, a teacher, two saliency encoders, and invalid folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from timm.models import save_for_hf
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from ..census.redraw import redraw

CLASSES = 4
SIZE = 32
SMALL = {"patch_size": 8, "depth": 3, "embed_dim": 48, "num_heads": 3}
ENCODER_MODEL = "test_vit"


@dataclass(frozen=True)
class Assets:
    """The paths of the files that the runs read.

    Attributes:
        images: Folder with the splits.
        start: Weights that training starts from. timm's fresh ones hardly look at the image: nothing would tell merged
            from unmerged.
        teacher: Folder of a model for ``local-dir:``.
        encoders: Two files of weights for ENCODER_MODEL.
        no_script: A Python file that is not a script of timm.
        old_timm: A folder whose own ``timm`` is too old.
    """

    images: Path
    start: Path
    teacher: Path
    encoders: tuple[Path, Path]
    no_script: Path
    old_timm: Path


def make_assets(folder: Path) -> Assets:
    """Writes all files into a new folder."""
    folder.mkdir(parents=True)
    assets = Assets(
        images=folder / "images",
        start=folder / "start.pth",
        teacher=folder / "teacher",
        encoders=(folder / "encoder0.pth", folder / "encoder1.pth"),
        no_script=folder / "no_script.py",
        old_timm=folder / "old",
    )
    for split, number in {"train": 32, "validation": 16}.items():
        _write_images(assets.images / split, number)
    _write_teacher(assets.teacher)
    torch.save(redraw(_small_vit(), seed=1).state_dict(), assets.start)
    for seed, path in enumerate(assets.encoders):
        torch.save(redraw(timm.create_model(ENCODER_MODEL, pretrained=False), seed).state_dict(), path)
    assets.no_script.write_text("print('this is no script of timm')\n")
    (assets.old_timm / "timm").mkdir(parents=True)
    (assets.old_timm / "timm" / "__init__.py").write_text("__version__ = '1.0.9'\n")
    return assets


def _write_images(folder: Path, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for index in range(number):
        path = folder / f"class{index % CLASSES}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(_image(index % CLASSES, generator)).save(path)


def _image(label: int, generator: torch.Generator) -> Tensor:
    """An image of noise with one bright quarter, whose place depends on the class."""
    image = torch.randint(0, 128, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    half, (row, column) = SIZE // 2, divmod(label, 2)
    image[:, row * half : (row + 1) * half, column * half : (column + 1) * half] += 100
    return image


def _write_teacher(folder: Path) -> None:
    """Writes a model for ``local-dir:``, because teachers are always created pretrained."""
    save_for_hf(redraw(_small_vit()), str(folder), model_args=SMALL | {"img_size": SIZE})


def _small_vit() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, img_size=SIZE, **SMALL)
