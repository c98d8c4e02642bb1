"""Each check of the census accepts a correct model and finds its kind of fault."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from tools.census import checks
from tools.census.inputs import images, padded
from tools.census.passes import Plain, run
from tools.census.row import Row
from tools.require import CheckError

from .made import small


@pytest.fixture
def model() -> nn.Module:
    """A small model."""
    return small()


@pytest.fixture
def x(model: nn.Module) -> Tensor:
    """Images for the small model."""
    return images(model)


@pytest.fixture
def plain(model: nn.Module, x: Tensor) -> Plain:
    """The results of the unpatched model."""
    return Plain(model, x)


def test_with_nothing_to_merge_the_model_must_equal_the_plain_one(model: nn.Module, x: Tensor, plain: Plain) -> None:
    assert checks.check_identity(mm.patch(model, 0), x, plain) is None
    with pytest.raises(CheckError, match="fp32 differs by"):
        checks.check_identity(model, x.flip(0), plain)


def test_a_small_difference_is_noted(model: nn.Module, x: Tensor, plain: Plain) -> None:
    plain.out = plain.out * (1 + 1e-6)
    assert checks.check_identity(mm.patch(model, 0), x, plain) == "close, not equal"


def test_the_requested_number_of_tokens_must_merge(model: nn.Module, x: Tensor, plain: Plain) -> None:
    checks.check_merged(mm.patch(model, checks.R), x, plain)
    with pytest.raises(CheckError, match=r"tokens .*, wanted"):
        checks.check_merged(mm.patch(model, checks.R - 1), x, plain)


def test_merge_info_must_predict_the_numbers_of_tokens(model: nn.Module, plain: Plain) -> None:
    checks.check_info(mm.patch(model, checks.R), plain)
    with pytest.raises(CheckError, match=r"tokens .*, wanted"):
        checks.check_info(mm.patch(model, checks.R - 1), plain)


def test_all_parameters_must_get_gradients(model: nn.Module, x: Tensor, plain: Plain) -> None:
    mm.patch(model, checks.R)
    checks.check_gradients(model, x, plain)
    model.norm.weight.requires_grad_(False)
    with pytest.raises(CheckError, match=r"norm\.weight has no gradient"):
        checks.check_gradients(model, x, plain)


def test_a_gradient_of_zeros_is_found(
    model: nn.Module, x: Tensor, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = {name: torch.zeros_like(gradient) for name, gradient in plain.gradients.items()}
    monkeypatch.setattr(checks, "gradients", lambda *_: zeros)
    with pytest.raises(CheckError, match="is zero"):
        checks.check_gradients(model, x, plain)


def test_padding_must_not_change_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mm.patch(small("naflexvit_base_patch16_gap"), checks.R)
    x = padded(model)
    checks.check_padding(model, x)

    def unaware(model: nn.Module, x: dict[str, Tensor]) -> Tensor:
        return run(model, x | {"patch_valid": torch.ones_like(x["patch_valid"])})

    monkeypatch.setattr(checks, "run", unaware)
    with pytest.raises(CheckError, match="the contents of the padding"):
        checks.check_padding(model, x)


def test_saliency_must_be_a_distribution(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("a")
    checks.check_saliency(row, mm.patch(model, checks.R), x)
    assert row.notes == {}
    monkeypatch.setattr(checks.mm, "saliency_map", lambda *_: torch.full((2, 4, 4), 1 / 16))
    with pytest.raises(CheckError, match="uniform"):
        checks.check_saliency(row, model, x)


def test_a_refusal_of_saliency_is_noted(model: nn.Module, x: Tensor) -> None:
    row = Row("a")
    checks.check_saliency(row, nn.Identity(), x)
    assert "saliency: refused" in row.notes
