"""A blend gives the same in two steps as in one call, and a call of a user's own is never passed over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from timm_mergemix import Blend, Draw, Mixer, Pairs
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend, PreparedBlend, ResizeMixBlend, prepare
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mix.mergemix import MergeMixBlend

from .batches import FixedSaliency, noise

IMAGES, LABELS = noise(6, 3, 16, 16), torch.arange(6)


class SizedSaliency(FixedSaliency):
    """One whose maps are known in size before they are there."""

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return self.grid


class Halves:
    """A way of mixing of a user's own, which draws too."""

    name = "halves"

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        ratio = torch.from_numpy(draw.uniform()).float()
        return Blend(torch.lerp(pairs.partner, pairs.own, ratio.view(-1, 1, 1, 1)), ratio)


class Inverted(MixupBlend):
    """One of ours, called otherwise."""

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        mixed = super().__call__(pairs, draw)
        return mixed._replace(images=-mixed.images)


def draws(seed: int = 0, count: int = 6) -> Draw:
    return Draw(np.random.default_rng(seed), np.arange(count))


def mergemix(saliency: Callable[[Tensor], Tensor], ratio_mode: str = "area") -> MergeMixBlend:
    return MergeMixBlend(saliency, MixConfig(ratio_mode=ratio_mode))


@pytest.mark.parametrize("blend", [MixupBlend(), CutMixBlend(), CutMixBlend(correct_lam=False), ResizeMixBlend()])
@pytest.mark.parametrize("rows", [None, torch.tensor([1, 4])])
def test_two_steps_are_one_call(blend: object, rows: Tensor | None) -> None:
    pairs = Pairs(IMAGES, torch.arange(5, -1, -1), rows)
    count = 6 if rows is None else 2
    called, prepared = blend(pairs, draws(count=count)), prepare(blend, pairs, draws(count=count))
    assert prepared.drawn
    finished = prepared.finish(pairs, *prepared.drawn)
    assert torch.equal(called.images, finished.images) and torch.equal(called.ratio, finished.ratio)


@pytest.mark.parametrize("ratio_mode", MixConfig.options()["ratio_mode"].choices)
def test_maps_of_a_size_that_is_known_give_the_same_mix(ratio_mode: str) -> None:
    pairs = Pairs(IMAGES, torch.arange(5, -1, -1))
    blends = [mergemix(kind(4, 4), ratio_mode) for kind in (FixedSaliency, SizedSaliency)]
    assert [blend.prepare_blend(pairs, draws()) is None for blend in blends] == [True, False]
    one, other = (blend(pairs, draws()) for blend in blends)
    assert torch.equal(one.images, other.images) and torch.equal(one.ratio, other.ratio)


def test_everything_is_drawn_before_a_map_is_made() -> None:
    saliency = SizedSaliency(4, 4)
    prepared = mergemix(saliency).prepare_blend(Pairs(IMAGES, torch.arange(5, -1, -1)), draws())
    assert isinstance(prepared, PreparedBlend) and saliency.seen == []


def test_a_subclass_with_a_call_of_its_own_is_called() -> None:
    plain, inverted = (
        Mixer([(blend, 1.0)], generator=torch.Generator().manual_seed(0)).mix(IMAGES, LABELS).images
        for blend in (MixupBlend(), Inverted())
    )
    assert torch.equal(inverted, -plain)


def test_blends_draw_in_their_order_whoever_wrote_them() -> None:
    """A batch of several kinds is what the kinds make one after the other."""
    blends = [MixupBlend(), Halves(), mergemix(FixedSaliency(4, 4)), CutMixBlend()]
    mixer = Mixer([(blend, 0.25) for blend in blends], mode="elem", generator=torch.Generator().manual_seed(3))
    images, labels = noise(24, 3, 16, 16), torch.arange(24)
    mixed = mixer.mix(images, labels)
    assert len(set(mixed.kind)) == 4
    seed = torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(3))
    rng = np.random.default_rng(int(seed))
    groups = np.arange(24)
    Draw(rng, groups).uniform()  # which row is mixed how
    for blend in blends:
        rows = np.array([row for row, kind in enumerate(mixed.kind) if kind == blend.name])
        pairs = Pairs(images, torch.arange(23, -1, -1), torch.from_numpy(rows))
        wanted = blend(pairs, Draw(rng, groups[rows]))
        assert torch.equal(mixed.images[rows], wanted.images) and torch.equal(mixed.ratio[rows], wanted.ratio)
