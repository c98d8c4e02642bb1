"""The vision model is pretrained to name shapes and colours, once for all arms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.vqa import tower
from timm_mergemix.training.vqa.data import VqaData, prepare_data
from timm_mergemix.training.vqa.model import READ, small_llava
from timm_mergemix.training.vqa.questions import Drawing, Questions
from timm_mergemix.training.vqa.tower import prepare_tower

from .made import PLACES, SIZE, data, questions

pytest.importorskip("transformers", minversion="5.18")


def made(words: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return small_llava(SIZE, words)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower, "STEPS", 3)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def prepared(found: VqaData, path: Path) -> torch.nn.Module:
    model = made(len(found.words))
    prepare_tower(model, found, path, Reporter(quiet=True))
    return model


def test_only_the_vision_model_changes(short: None, tmp_path: Path) -> None:
    found = data()
    before, after = made(len(found.words)), prepared(found, tmp_path / "tower.pt")
    for part in ("language_model", "multi_modal_projector"):
        assert torch.equal(weights(getattr(before.model, part)), weights(getattr(after.model, part)))
    assert not torch.equal(weights(before.model.vision_tower), weights(after.model.vision_tower))


def test_the_vision_model_is_trained_once_and_then_loaded(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = data()
    first = prepared(found, tmp_path / "deep" / "tower.pt")
    monkeypatch.setattr(tower, "_train", None)
    second = prepared(found, tmp_path / "deep" / "tower.pt")
    assert torch.equal(weights(first), weights(second))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["tower.pt"]


def test_shapes_can_be_read_from_the_layer_that_the_language_model_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tower, "STEPS", 60)
    found = data(train=24)
    head = torch.nn.Linear(64, 3)
    shapes = torch.tensor([tower.SHAPES.index(each.shape) for each in found.train.questions.drawings])
    losses = []
    for model in (made(len(found.words)), prepared(found, tmp_path / "tower.pt")):
        with torch.no_grad():
            states = model.model.vision_tower(pixel_values=found.train.images, output_hidden_states=True).hidden_states
        tokens = states[READ][:, 1:].mean(dim=1)
        torch.manual_seed(0)
        head.reset_parameters()
        optimizer = torch.optim.Adam(head.parameters(), 0.05)
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(head(tokens), shapes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[1] < 0.5 * losses[0]


def test_drawings_with_an_unknown_shape_or_colour_are_skipped(short: None, tmp_path: Path) -> None:
    some = questions(4)
    drawings = (Drawing(None, "red"), *some.drawings[1:])
    found = prepare_data(Questions(some.items, some.images, drawings), questions(3, seed=1), PLACES)
    images, shapes, colours = tower._named(found)
    assert len(images) == len(shapes) == len(colours) == 3
    assert torch.equal(images, found.train.images[1:])


def test_damaged_weights_are_refused(short: None, tmp_path: Path) -> None:
    found, path = data(), tmp_path / "tower.pt"
    prepared(found, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MergeMixError, match=r"tower\.pt: is damaged"):
        prepared(found, path)
