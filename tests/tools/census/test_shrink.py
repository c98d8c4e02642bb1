"""A shrunk model keeps every option that is not a size, and changed options are reported."""

from __future__ import annotations

import pytest
import timm

from tools.census.names import full_size
from tools.census.shrink import DEPTH, changed_options, grid, patch_pixels, shrink, trunk


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_options_are_kept(name: str) -> None:
    full = full_size(name)
    small = shrink(name, full)
    assert changed_options(full, small) == []
    assert len(trunk(small).blocks) == DEPTH
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in full.parameters()) / 5


def test_a_changed_option_is_found() -> None:
    full = full_size("vit_small_patch14_dinov2")
    small = timm.create_model("vit_small_patch14_dinov2", depth=DEPTH, qk_norm=True)
    assert any("q_norm" in option for option in changed_options(full, small))


def test_the_patch_size_is_found_in_each_kind_of_model() -> None:
    assert patch_pixels(full_size("vit_small_patch14_dinov2")) == 14
    assert patch_pixels(full_size("vit_tiny_r_s16_p8_224")) == 32
    assert patch_pixels(full_size("naflexvit_base_patch16_gap")) == 16
    assert grid(full_size("test_vit")) == 4
    with pytest.raises(AttributeError):
        patch_pixels(full_size("test_resnet"))


def test_the_error_says_why_a_model_cannot_be_built_small() -> None:
    full = full_size("test_vit")
    with pytest.raises(ValueError, match=r"2 heads: .*; 8 heads: "):
        shrink("no_such_model_tiny", full)
