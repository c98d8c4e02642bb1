"""Each ground is drawn by its number alone, and none is another one."""

import torch

from benchmarks.study.grounds import GROUNDS, SWAPPED


def test_grounds_are_images_that_the_number_decides() -> None:
    for draw in GROUNDS.values():
        first, again, other = draw(32, 7), draw(32, 7), draw(32, 8)
        assert first.shape == (3, 32, 32) and first.min() >= 0 and first.max() <= 1 + 1e-6
        assert torch.equal(first, again) and not torch.allclose(first, other, atol=0.05)


def test_no_ground_is_another() -> None:
    grounds = [draw(32, 7) for draw in GROUNDS.values()]
    assert len(SWAPPED) == len(GROUNDS) - 1 and "own" not in SWAPPED
    assert all(not torch.allclose(one, two, atol=0.05) for i, one in enumerate(grounds) for two in grounds[:i])


def test_a_texture_is_rougher_than_a_gradient() -> None:
    smooth, rough = (GROUNDS[name](32, 3).diff(dim=-1).abs().mean() for name in ("own", "ground textured"))
    assert rough > 2 * smooth
