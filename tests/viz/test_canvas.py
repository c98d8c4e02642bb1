"""Figures are drawn without pyplot, from images as they were before normalisation."""

import sys

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.viz.canvas import displayable, new_figure


def test_images_are_shown_as_they_were_before_normalisation() -> None:
    images = torch.rand(2, 3, 4, 4)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    shown = displayable((images - mean) / std, mean.flatten().tolist(), std.flatten().tolist())
    torch.testing.assert_close(shown, images.movedim(1, -1))
    torch.testing.assert_close(displayable((images * 255).byte(), None, None), images.movedim(1, -1), atol=4e-3, rtol=0)
    assert displayable(torch.rand(1, 5, 4, 4), None, None).shape == (1, 4, 4, 1)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "timm_mergemix.viz.notebook", raising=False)
    with pytest.raises(mm.MergeMixError, match=r'drawing needs matplotlib.*pip install "timm-mergemix\[viz\]"'):
        new_figure(1, 1)


def test_no_figure_is_registered_with_pyplot() -> None:
    new_figure(1, 1)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
