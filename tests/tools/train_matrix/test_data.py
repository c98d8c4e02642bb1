"""The files for the runs exist: images of four classes, weights that fit, and invalid folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torchvision.datasets import ImageFolder

from tools.train_matrix.data import CLASSES, ENCODER_MODEL, SIZE, SMALL, Assets, make_assets


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """The files, written once."""
    return make_assets(tmp_path_factory.mktemp("matrix") / "assets")


def test_the_bright_quarter_of_an_image_shows_its_class(assets: Assets) -> None:
    images = ImageFolder(str(assets.images / "train"))
    assert len(images) == 32 and len(images.classes) == CLASSES
    picture, label = images[0]
    assert picture.size == (SIZE, SIZE) and label == 0
    pixels = torch.from_numpy(np.array(picture)).float().mean(dim=2)
    assert pixels[: SIZE // 2, : SIZE // 2].mean() > pixels.mean() + 50


def test_weights_fit_their_models(assets: Assets) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, img_size=SIZE, **SMALL)
    model.load_state_dict(torch.load(assets.start))
    first, second = map(torch.load, assets.encoders)
    timm.create_model(ENCODER_MODEL).load_state_dict(first)
    assert not torch.equal(first["norm.weight"], second["norm.weight"])


def test_the_teacher_can_be_created_from_its_folder(assets: Assets) -> None:
    teacher = timm.create_model(f"local-dir:{assets.teacher}", pretrained=True)
    assert teacher.num_classes == CLASSES and len(teacher.blocks) == SMALL["depth"]


def test_invalid_files_and_folders_exist(assets: Assets) -> None:
    assert "timm" in assets.no_script.read_text()
    assert "1.0.9" in Path(assets.old_timm, "timm", "__init__.py").read_text()
