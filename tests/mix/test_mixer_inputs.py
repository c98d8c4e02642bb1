"""What a mixer takes beside images and labels, and as what it gives the images back."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from timm_mergemix import MergeMixError, Mixer, Mixup
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend

IMAGES, LABELS = torch.rand(2, 3, 8, 16), torch.tensor([0, 1])


def test_plain_images_are_kept_as_they_are_and_wrapped_ones_become_plain() -> None:
    mixer = Mixup(num_classes=2)
    assert mixer.mix(IMAGES, LABELS).raw is IMAGES
    batch = mixer.mix(tv_tensors.Image(IMAGES), LABELS)
    assert type(batch.raw) is torch.Tensor and type(batch.images) is torch.Tensor


def test_boxes_reach_to_the_right_edge_of_a_wide_image() -> None:
    mixer = Mixer([(CutMixBlend(), 1.0)], num_classes=2, prob=0.0)
    boxes = [torch.tensor([[0.0, 0.0, 16.0, 8.0]])] * 2
    batch = mixer.mix(IMAGES, LABELS, boxes=boxes, box_labels=[torch.tensor([1])] * 2)
    assert [each.tolist() for each in batch.boxes or ()] == [[[0.0, 0.0, 16.0, 8.0]]] * 2
    mixer = Mixer([(CutMixBlend(minmax=(0.2, 0.4)), 1.0)], num_classes=2, generator=torch.Generator().manual_seed(0))
    batch = mixer.mix(IMAGES, LABELS, boxes=boxes, box_labels=[torch.tensor([1])] * 2, min_visible=0.0)
    assert max(each[:, 2].max().item() for each in batch.boxes or ()) == 16.0


def test_a_saliency_on_another_device_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^saliency: got a tensor on meta, wanted a tensor on cpu"):
        Mixup(num_classes=2).mix(IMAGES, LABELS, torch.rand(2, 2, 4, device="meta"))


def test_what_was_measured_is_the_mask_s_share_and_else_the_ratio() -> None:
    images, labels = torch.rand(16, 3, 8, 8), torch.arange(16)
    blends = [(CutMixBlend(correct_lam=False), 0.4), (MixupBlend(), 0.4)]
    mixer = Mixer(blends, num_classes=16, mode="elem", generator=torch.Generator().manual_seed(0))
    batch = mixer.mix(images, labels)
    assert set(batch.kind) == {"cutmix", "mixup", "none"} and batch.measured is not None and batch.mask is not None
    for row, kind in enumerate(batch.kind):
        wanted = batch.mask[row].float().mean() if kind == "cutmix" else batch.ratio[row]
        assert batch.measured[row].item() == pytest.approx(wanted.item())
    plain = Mixer([(MixupBlend(), 0.5)], num_classes=16, mode="elem", generator=torch.Generator().manual_seed(0))
    assert plain.mix(images, labels).measured is None
