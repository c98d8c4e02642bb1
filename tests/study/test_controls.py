import torch

from timm_mergemix import MergeMix
from timm_mergemix.study.controls import inverted, random_patches

from ..models import images, tiny


def test_random_patches_are_random_and_as_many() -> None:
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


def test_the_inverse_keeps_what_mergemix_gives_away() -> None:
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
