"""Weather changes images as it is called, within their range, and as the seed says."""

import pytest
import torch

from benchmarks.study.weather import WEATHER, fog, rain, snow


@pytest.mark.parametrize("name", WEATHER)
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 56, 40)])
def test_images_stay_images_and_the_seed_decides(name: str, shape: tuple[int, ...]) -> None:
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    kept = pixels.clone()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(WEATHER[name](pixels))
    first, again, other = found
    assert first.shape == pixels.shape and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other) and torch.equal(pixels, kept)
    assert (first - pixels).abs().mean() > 0.03


def test_images_of_a_batch_have_each_their_own() -> None:
    for change in WEATHER.values():
        first, second = change(torch.full((2, 3, 56, 56), 0.3))
        assert not torch.equal(first, second)


def test_fog_takes_contrast_and_lightens() -> None:
    pixels = torch.rand(4, 3, 56, 56)
    found = fog(pixels)
    assert found.std() < 0.6 * pixels.std() and found.mean() > pixels.mean()


def test_rain_draws_light_streaks_that_are_longer_than_wide() -> None:
    streaks = (rain(torch.zeros(4, 1, 64, 64)) > 0.3).float()
    assert 0.01 < streaks.mean() < 0.2
    down, across = ((streaks[..., 1:, :] * streaks[..., :-1, :]).sum(), (streaks[..., 1:] * streaks[..., :-1]).sum())
    assert down > 1.5 * across


def test_snow_covers_some_places_and_leaves_others() -> None:
    flakes = snow(torch.zeros(4, 1, 64, 64))
    assert 0.02 < (flakes > 0.8).float().mean() < 0.4 < (flakes < 0.3).float().mean()
