"""The plain PyTorch loop of docs/guide/own-loop.md."""

from __future__ import annotations

import pytest
import torch
from torchvision.datasets import FakeData

import timm_mergemix as mm

from .page import NUM_CLASSES, Coloured, R, Samples, check_passes, recipe, tiny, watch, weights_differ


@pytest.fixture
def page(tmp_path):
    return recipe("own-loop", tmp_path)


def train(page, model, **options):
    page.train(model, Samples(), Samples(6), NUM_CLASSES, r=R, batch_size=8, **options)
    return model


def test_the_recipe_trains(page, capsys):
    model = train(page, tiny(), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(0 < float(line.split()[3].rstrip(",")) < 5 for line in lines)
    assert "head.weight" in weights_differ(model, tiny())
    tiny().load_state_dict(model.state_dict())


def test_it_learns_with_the_merging_that_is_its_default(page):
    model = tiny()
    page.train(model, Coloured(), Coloured(20, seed=2), NUM_CLASSES, epochs=8, batch_size=8)
    accuracy = page.evaluate(model, torch.utils.data.DataLoader(Coloured(100, seed=3), 50))
    assert accuracy > 0.8  # chance is 0.2
    assert mm.merge_info(model).tokens[-1] == 9, "half of 16 patches and the class token"


def test_the_seed_governs(page):
    one, same, other = (train(page, tiny(), epochs=1, seed=seed) for seed in (0, 0, 1))
    assert weights_differ(one, same) == []
    assert weights_differ(one, other) != []


def test_only_training_mixes_and_merges(page):
    model = tiny()
    passes = watch(mm.patch(model, r=R))
    train(page, model, epochs=3)
    check_passes(passes, (R, R, R), (0, 0, 0))


@pytest.mark.parametrize(("r", "merges"), [(0, (0, 0, 0)), (None, (R, R, R)), (3, (3, 3, 3))])
def test_evaluation_merges_as_asked(page, r, merges):
    model = mm.patch(tiny(), r=R)
    passes = watch(model)
    accuracy = page.evaluate(model, torch.utils.data.DataLoader(Samples(), 8), r=r)
    assert 0 <= accuracy <= 1
    assert [p.merges for p in passes] == [merges] * 2
    assert mm.merge_info(model).merges == (R, R, R)


def test_the_transform_makes_plain_tensors_of_pictures(page):
    data = FakeData(2, image_size=(3, 40, 48), transform=page.train_transform(32))
    image, _ = data[0]
    assert type(image) is torch.Tensor
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.float32
    assert image.min() < 0
