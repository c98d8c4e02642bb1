"""Images reach the encoder in its size, dtype and statistics."""

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.input import EncoderInput

from ..models import images, tiny


def encoder_input(model: torch.nn.Module, *statistics: object) -> EncoderInput:
    names = ("image_mean", "image_std", "encoder_mean", "encoder_std")
    return EncoderInput(find_backbone(model), SaliencyConfig(**dict(zip(names, statistics, strict=False))))


def test_float_images_are_passed_on() -> None:
    model = tiny()
    x = images(model)
    assert encoder_input(model)(x, (64, 64)) is x


def test_float_images_are_converted_between_statistics() -> None:
    model = tiny()
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = (pixels - 0.5) / 0.25
    converted = encoder_input(model, (0.5,), (0.25,), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))(batch, (64, 64))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(converted, (pixels - mean) / std)


def test_uint8_images_are_normalised_by_the_data_config() -> None:
    model = tiny()
    pixels = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(encoder_input(model)(pixels, (64, 64)), (pixels.float() / 255 - mean) / std)


def test_images_are_resized() -> None:
    assert encoder_input(tiny())(torch.randn(1, 3, 50, 48), (64, 48)).shape[-2:] == (64, 48)


def test_images_come_in_the_encoders_dtype() -> None:
    model = tiny().bfloat16()
    assert encoder_input(model)(images(model), (64, 64)).dtype == torch.bfloat16


def test_missing_statistics_are_refused() -> None:
    model = tiny(in_chans=1)  # its data config is for 3 channels
    with pytest.raises(MergeMixError, match="encoder_mean, encoder_std: got None"):
        encoder_input(model, (0.5,), (0.5,), None, None)
    with pytest.raises(MergeMixError, match="needed for uint8 images"):
        encoder_input(model).check(torch.zeros(1, 1, 64, 64, dtype=torch.uint8))
