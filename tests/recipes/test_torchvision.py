"""Mixing in a data loader's workers, of docs/guide/torchvision.md."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest
import torch

from .page import NUM_CLASSES, Samples, recipe, tiny


@pytest.fixture
def page(tmp_path):
    return recipe("torchvision", tmp_path)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="other workers start slowly")
def test_batches_are_mixed_in_the_workers(page):
    def epochs(count):
        torch.manual_seed(0)
        loader = page.mixing_loader(Samples(32), tiny(seed=1), NUM_CLASSES, batch_size=8, workers=2)
        loader.multiprocessing_context = "fork"
        return [[targets for _, targets in loader] for _ in range(count)]

    first, second = epochs(2)
    assert [targets.shape for targets in first] == [(8, NUM_CLASSES)] * 4
    mixed = [bool((targets.max(dim=1).values < 1).any()) for targets in first + second]
    assert sum(mixed) > 4, "a share may round to a whole image, not in most batches"
    ratios = [frozenset(targets[(targets > 0) & (targets < 1)].tolist()) for targets in first + second]
    assert len(set(ratios)) > 4, "workers and epochs draw numbers of their own"
    assert all(torch.equal(a, b) for a, b in zip(first, epochs(1)[0], strict=True))


def test_the_collate_function_travels_to_workers(page):
    collate = page.MixingCollate(tiny(), NUM_CLASSES)
    samples = [Samples()[i] for i in range(4)]
    plain, mixed = torch.stack([image for image, _ in samples]), []
    for seed in range(4):
        results = []
        for function in (collate, pickle.loads(pickle.dumps(collate))):
            torch.manual_seed(seed)
            results.append(function(samples))
        (images, targets), (others, other_targets) = results
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)
        mixed.append(not torch.equal(images, plain))
    assert any(mixed)
