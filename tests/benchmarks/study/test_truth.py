"""Where objects are decides which patches are kept, and how much of an object is seen decides the ratio."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.study import truth
from benchmarks.study.truth import cutmix_seen, mix_by_truth, reweighed
from timm_mergemix import MergeMix, MergeMixError
from timm_mergemix.mixers.mixup import Mixup

from ...models import images, tiny

MODEL = tiny()
IMAGES, LABELS = images(MODEL, batch=6), torch.arange(6)


def objects(batch: Tensor) -> Tensor:
    """A square of 24 pixels in each image, not on the grid of 16."""
    masks = torch.zeros(len(batch), 64, 64)
    for row in range(len(batch)):
        masks[row, 4 + 6 * row : 28 + 6 * row, 8:32] = 1
    return masks


def taken(mixed: Tensor) -> Tensor:
    """Which pixels of a mix are the original's."""
    return (mixed == IMAGES).all(dim=1)


def seen(mixed: Tensor) -> Tensor:
    """The original's part that is seen over the parts of both, counted by hand."""
    masks, kept = objects(IMAGES), taken(mixed)
    parts = []
    for row in range(6):
        own = (masks[row] * kept[row]).sum() / masks[row].sum()
        partner = (masks[5 - row] * ~kept[row]).sum() / masks[5 - row].sum()
        parts.append(own / (own + partner) if own + partner > 0 else kept[row].float().mean())
    return torch.stack(parts)


@pytest.mark.parametrize("by", truth.SELECTED_BY)
@pytest.mark.parametrize("target", truth.TARGETS)
def test_targets_say_what_they_promise(by: str, target: str) -> None:
    torch.manual_seed(3)
    mix = mix_by_truth(MODEL, 6, objects, by, target, mergemix_prob=1.0, mode="elem", label_smoothing=0.0)
    mixed, targets = mix(IMAGES, LABELS)
    own = targets.diagonal()
    attention = MergeMix(MODEL, 6).saliency(IMAGES).repeat_interleave(16, 1).repeat_interleave(16, 2)
    kept = taken(mixed)
    by_attention = (attention * kept).sum((1, 2))
    by_attention /= by_attention + (attention.flip(0) * ~kept).sum((1, 2))
    wanted = {"area": kept.float().mean((1, 2)), "seen": seen(mixed), "attention": by_attention}[target]
    torch.testing.assert_close(own, wanted, atol=1e-3, rtol=0)


def test_the_objects_patches_come_first_or_last() -> None:
    found = {}
    for by in ("truth", "inverted", "random"):
        torch.manual_seed(5)
        mixed, _ = mix_by_truth(MODEL, 6, objects, by, mergemix_prob=1.0, mode="elem")(IMAGES, LABELS)
        kept = taken(mixed)
        assert torch.equal(kept, kept[:, ::16, ::16].repeat_interleave(16, 1).repeat_interleave(16, 2))
        found[by] = (objects(IMAGES) * kept).sum((1, 2)), kept.sum((1, 2))
    assert torch.equal(found["truth"][1], found["inverted"][1])
    assert (found["truth"][0] >= found["random"][0]).all() and (found["random"][0] >= found["inverted"][0]).all()
    assert found["truth"][0].sum() > 2 * found["inverted"][0].sum()


def test_by_attention_and_area_it_is_mergemix() -> None:
    torch.manual_seed(7)
    mixed, targets = mix_by_truth(MODEL, 6, objects, "attention", mergemix_prob=1.0)(IMAGES, LABELS)
    torch.manual_seed(7)
    own, wanted = MergeMix(MODEL, 6, mergemix_prob=1.0)(IMAGES, LABELS)
    assert torch.equal(mixed, own) and torch.equal(targets, wanted)


def test_most_of_both_objects_is_seen() -> None:
    def shown(select: str) -> float:
        torch.manual_seed(1)
        mix = mix_by_truth(MODEL, 6, objects, "truth", mergemix_prob=1.0, mode="elem", select=select)
        kept, masks = taken(mix(IMAGES, LABELS)[0]), objects(IMAGES)
        return float((masks * kept).sum() + (masks.flip(0) * ~kept).sum())

    assert shown("both") > shown("own")


def test_cutmix_by_what_is_seen() -> None:
    torch.manual_seed(2)
    mixed, targets = cutmix_seen(MODEL, 6, objects, mode="elem", label_smoothing=0.0)(IMAGES, LABELS)
    assert 0 < taken(mixed).float().mean() < 1
    torch.testing.assert_close(targets.diagonal(), seen(mixed), atol=1e-3, rtol=0)


def test_what_no_mask_mixed_keeps_its_ratio() -> None:
    torch.manual_seed(0)
    blended = Mixup(num_classes=6).mix(IMAGES, LABELS)
    assert reweighed(blended, objects(IMAGES)) is blended
    mixer = MergeMix(MODEL, 6, mergemix_prob=0.5, cutmix_alpha=0.0, prob=0.7, mode="elem")
    batch = next(each for each in iter(lambda: mixer.mix(IMAGES, LABELS), None) if len(set(each.kind)) == 3)
    found = reweighed(batch, objects(IMAGES))
    for row, kind in enumerate(batch.kind):
        if kind != "mergemix":
            assert found.ratio[row] == batch.ratio[row]
    nothing = reweighed(batch, torch.zeros(6, 64, 64))
    assert torch.equal(nothing.ratio, batch.ratio)


def test_names_are_checked() -> None:
    with pytest.raises(MergeMixError, match="by: got 'luck'"):
        mix_by_truth(MODEL, 6, objects, "luck")
    with pytest.raises(MergeMixError, match="target: got 'luck'"):
        mix_by_truth(MODEL, 6, objects, "truth", "luck")
