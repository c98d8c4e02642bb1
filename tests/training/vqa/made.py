"""Small drawings and questions about them, which stand in for easy-VQA."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from timm_mergemix.training.vqa import run
from timm_mergemix.training.vqa.data import VqaData, prepare_data
from timm_mergemix.training.vqa.questions import COLOURS, SHAPES, Drawing, Question, Questions

SIZE, PLACES = 32, 16


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Freezes existing objects: each training collects garbage once, which is slow with the objects of all tests."""
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patched:
        # test_tower.py tests the pretraining of the vision model.
        patched.setattr(run, "prepare_tower", lambda *args: None)
        yield
    gc.unfreeze()


def questions(count: int = 4, seed: int = 0) -> Questions:
    """Four questions per drawing, two of them open; images are noise with one bright patch that encodes the drawing."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    items: list[Question] = []
    drawings = []
    for number in range(count):
        shape, colour = SHAPES[number % len(SHAPES)], COLOURS[(number + seed) % len(COLOURS)]
        row, column = divmod(number % PLACES, SIZE // 8)
        images[number, number % 3, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 180
        texts = {
            "what shape is in the image?": shape,
            f"what color is the {shape}?": colour,
            f"is there a {SHAPES[(number + 1) % len(SHAPES)]}?": "no",
            f"is there not a {colour} shape?": "no",
        }
        items += [Question(text, answer, number) for text, answer in texts.items()]
        drawings.append(Drawing(shape, colour))
    return Questions(tuple(items), images, tuple(drawings))


def data(train: int = 4, test: int = 3) -> VqaData:
    """Batches of `questions` for training and testing."""
    return prepare_data(questions(train), questions(test, seed=1), PLACES)
