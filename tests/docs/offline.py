"""What examples of the documentation get in the tests: models without downloads, and a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
from PIL import Image


def without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets ``timm.create_model`` ignore ``pretrained``, since the tests reach no hub."""
    create_model = timm.create_model

    def create(name: str, pretrained: bool = False, **options: Any) -> Any:
        return create_model(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", create)


def write_images(folder: Path) -> None:
    """Writes two classes with an image each."""
    for name, colour in (("cat", "navy"), ("dog", "olive")):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), colour).save(folder / name / "0.png")
