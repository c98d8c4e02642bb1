"""Each control equals MergeMix except for the one step that it changes."""

import torch

from benchmarks.study.controls import (
    complementary_order,
    corner_ties,
    inverted,
    pair_by_saliency,
    random_patches,
    sampled,
)
from timm_mergemix import MergeMix

from ...models import images, tiny


def test_random_patches_keeps_as_many_patches_at_random() -> None:
    model, labels = tiny(), torch.arange(8)
    x = images(model, batch=8)
    torch.manual_seed(0)
    batch = random_patches(model, 10, mergemix_prob=1.0, mode="elem").mix(x, labels)
    torch.manual_seed(0)
    own = MergeMix(model, 10, mergemix_prob=1.0, mode="elem").mix(x, labels)
    torch.testing.assert_close(batch.ratio, own.ratio)
    assert batch.saliency is not None and batch.saliency.std() == 0
    chosen = batch.mask[:, 0, ::16, ::16].flatten(1)
    assert len(chosen.unique(dim=0)) > 1


def test_the_inverse_keeps_the_patches_that_mergemix_drops() -> None:
    model, labels = tiny(), torch.arange(8)
    x = images(model, batch=8)
    own = MergeMix(model, 10, mergemix_prob=1.0, saliency_r=0)
    other = inverted(model, 10, mergemix_prob=1.0, saliency_r=0)
    for seed in range(5):
        torch.manual_seed(seed)
        kept = own.mix(x, labels)
        torch.manual_seed(seed)
        left = other.mix(x, labels)
        saliency = kept.saliency.flatten(1)
        mine, theirs = (batch.mask[:, 0, ::16, ::16].flatten(1) for batch in (kept, left))
        assert (mine.sum(1) == theirs.sum(1)).all()
        if 0 < mine[0].sum() < mine[0].numel():
            assert ((saliency * mine).sum(1) > (saliency * theirs).sum(1)).all()


def test_ties_are_broken_in_reading_order() -> None:
    model, labels = tiny(), torch.arange(8)
    x = images(model, batch=8)
    mixer = corner_ties(model, 10, mergemix_prob=1.0, saliency_r=[4, 2, 0])
    torch.manual_seed(3)
    batch = mixer.mix(x, labels)
    plain = MergeMix(model, 10, saliency_r=[4, 2, 0]).saliency(x).flatten(1)
    mask = batch.mask[:, 0, ::16, ::16].flatten(1)
    assert (plain.unique() > 0).all() and 0 < mask[0].sum() < 16
    for saliency, chosen in zip(plain, mask, strict=True):
        for value in saliency.unique():
            tied = chosen[saliency == value].int()
            assert (tied.diff() <= 0).all()  # among ties, the chosen patches come first


def test_partners_are_salient_in_other_places() -> None:
    saliency = torch.zeros(5, 2, 2)
    for row, place in enumerate([0, 0, 3, 1, 3]):
        saliency[row].view(-1)[place] = 1.0
    order = complementary_order(saliency)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    for own, partner in list(zip(order, order.flip(0), strict=True))[:2]:
        assert not torch.equal(saliency[own], saliency[partner])


def test_pairs_by_saliency_keep_images_and_labels_together() -> None:
    model = tiny()
    x, labels = images(model, batch=6), torch.arange(6)
    mix = pair_by_saliency(model, 6, mergemix_prob=1.0, mergemix_alpha=1.0, label_smoothing=0.0)
    torch.manual_seed(0)
    mixed, targets = mix(x, labels)
    for image, target in zip(mixed, targets, strict=True):
        sources = target.nonzero().flatten()
        assert 1 <= len(sources) <= 2
        pixels = torch.stack([(image == x[source]).float() for source in sources])
        assert (pixels.amax(dim=0) == 1).all()  # each pixel comes from one of the two images
        torch.testing.assert_close(pixels.mean(dim=(1, 2, 3)), target[sources], atol=1e-3, rtol=0)


def test_patches_are_drawn_in_proportion_to_their_saliency() -> None:
    model = tiny()
    x, labels = images(model, batch=8), torch.arange(8)

    def kept(temperature: float, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        mix = sampled(model, 8, temperature, mergemix_prob=1.0, saliency_r=0).mix(x, labels)
        return mix.mask[:, 0, ::16, ::16].flatten(1)

    torch.manual_seed(5)
    plain = MergeMix(model, 8, mergemix_prob=1.0, saliency_r=0).mix(x, labels)
    assert torch.equal(kept(0.0, 5), plain.mask[:, 0, ::16, ::16].flatten(1))

    def likeness(temperature: float) -> float:
        often = torch.stack([kept(temperature, seed) for seed in range(40)]).float().mean(0)
        return float(torch.corrcoef(torch.stack([often.flatten(), plain.saliency.flatten()]))[0, 1])

    assert likeness(1.0) > 0.5 > likeness(50.0)
