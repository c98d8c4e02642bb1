"""A grid of mixes shows the images, the map, the mask and the target of each row."""

import numpy as np
import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.viz import mix_grid

from ..models import tiny
from .made import draw


def made_batch(mode: str = "elem", **options: object) -> mm.MixedBatch:
    torch.manual_seed(0)
    mixer = mm.MergeMix(tiny(), 10, mode=mode, **options)
    return mixer.mix(torch.rand(6, 3, 64, 64), torch.arange(6))


def test_a_row_of_the_grid_shows_how_it_was_mixed() -> None:
    batch = made_batch(mergemix_prob=1.0)
    names = [f"class {i}" for i in range(10)]
    figure = mix_grid(batch, names, rows=4)
    assert len(figure.axes) == 20
    original, partner, attention, mask, mixed = figure.axes[5:10]
    assert (original.get_xlabel(), partner.get_xlabel()) == ("class 1", "class 4")
    ratio = batch.ratio[1].item()
    assert mixed.get_xlabel() == f"{ratio:.2f} class 1\n+ {1 - ratio:.2f} class 4"
    assert np.allclose(mixed.images[0].get_array(), batch.images[1].movedim(0, -1), atol=1e-6)
    assert np.allclose(attention.images[0].get_array(), batch.saliency[1] ** 0.5)
    assert attention.get_title() == "" and figure.axes[2].get_title().endswith("(dark: low, bright: high)")
    assert np.array_equal(mask.images[0].get_array(), batch.mask[1, 0])
    assert f"{100 * ratio:.0f} %" in mask.get_xlabel()
    pixels = draw(figure)
    assert min(pixels.shape[:2]) > 400 and pixels.std() > 20


def test_almost_uniform_attention_is_drawn_from_its_lowest_to_its_highest_value() -> None:
    batch = made_batch(mergemix_prob=1.0)
    batch.saliency[0] = 1 + torch.linspace(0, 0.02, batch.saliency[0].numel()).view_as(batch.saliency[0])
    (image,) = mix_grid(batch, rows=1).axes[2].images
    assert image.norm.vmin == image.get_array().min() and image.norm.vmax == image.get_array().max()
    assert image.axes.get_xlabel().endswith("patches,\n0.99 to 1.01 times the mean")
    colours = image.to_rgba(image.get_array())
    assert np.ptp(colours[..., :3].mean(axis=2)) > 0.8


def test_rows_mixed_by_other_methods_name_the_method() -> None:
    for options, kind in (({"mergemix_prob": 0.0, "cutmix_alpha": 0.0}, "mixup"), ({"prob": 0.0}, "none")):
        _, _, attention, mask, _ = mix_grid(made_batch(**options), rows=1).axes
        assert attention.texts[0].get_text() == "not used" and mask.texts[0].get_text() == kind
    _, _, attention, mask, _ = mix_grid(made_batch(mergemix_prob=0.0, switch_prob=1.0), rows=1).axes
    assert attention.texts and mask.images


def test_normalised_grey_and_uint8_images_are_shown_as_they_were() -> None:
    grey = torch.rand(2, 1, 8, 8)
    mixer = mm.Mixup(num_classes=3, prob=0.0)
    batch = mixer.mix((grey - 0.3) / 0.2, torch.tensor([0, 2]))
    figure = mix_grid(batch, mean=[0.3], std=[0.2])
    assert np.allclose(figure.axes[0].images[0].get_array(), grey[0, 0], atol=1e-6)
    whole = mixer.mix((grey * 255).to(torch.uint8), torch.tensor([0, 2]))
    assert mix_grid(whole).axes[0].images[0].get_array().max() <= 1


def test_many_labels_and_channels_are_shown() -> None:
    rows = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    batch = mm.Mixup(num_classes=3, multi_label=True).mix(torch.rand(2, 5, 8, 8), rows)
    figure = mix_grid(batch, ["a", "b"])
    assert figure.axes[0].get_xlabel() == "a, 2" and figure.axes[0].images[0].get_array().shape == (8, 8)


def test_bad_input_is_named() -> None:
    batch = made_batch()
    for call, message in (
        (lambda: mix_grid(batch, rows=0), "rows: got 0"),
        (lambda: mix_grid(batch, mean=[0.5]), "mean: got"),
        (lambda: mix_grid(batch.images), "batch: got"),
    ):
        with pytest.raises(mm.MergeMixError, match=message):
            call()
