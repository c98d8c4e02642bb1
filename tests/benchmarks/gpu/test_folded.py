"""A bias in extra dimensions is the mask, more exact in two parts, and is put in and taken out of models."""

import pytest
import torch
import torch.nn.functional as F

import timm_mergemix as mm
from benchmarks.gpu import folded
from benchmarks.gpu.folded import SDPA, accuracy, fold, folding, masked

from ...models import images, tiny


def inputs(dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    heads = [torch.randn(2, 3, 9, 16, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3)]
    return [*heads, torch.randint(1, 20, (2, 9), generator=generator).double().log()]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_folded_bias_is_the_mask(parts: int) -> None:
    torch.testing.assert_close(fold(*inputs(), parts=parts), masked(*inputs()), rtol=1e-10, atol=1e-10)


def test_two_parts_are_more_exact_than_a_mask_in_half_precision() -> None:
    errors = {(record["row"], record["arm"]): record["error"] for record in accuracy(torch.device("cpu"), 65, 1)}
    for dtype in ("bfloat16", "float16"):
        row = f"65 tokens, {dtype}"
        assert errors[row, "two dimensions"] < 0.8 * errors[row, "mask"]
        assert errors[row, "one dimension"] < 1.5 * errors[row, "mask"]
    assert all(error < 1e-5 for (row, _), error in errors.items() if row.endswith("float32"))


def test_a_patched_model_gives_the_same_while_its_bias_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    biases: list[torch.Tensor] = []

    def watched(*inputs: torch.Tensor, parts: int) -> torch.Tensor:
        biases.append(inputs[3])
        return fold(*inputs, parts=parts)

    monkeypatch.setattr(folded, "fold", watched)
    model = mm.patch(tiny(), 3)
    x = images(model)
    with torch.no_grad():
        wanted = model(x)
        with folding():
            assert F.scaled_dot_product_attention is not SDPA
            found = model(x)
    assert F.scaled_dot_product_attention is SDPA
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert [bias.shape for bias in biases] == [(2, 14), (2, 11)]  # nothing has merged before the first block


def test_other_masks_stay_masks() -> None:
    *heads, _ = inputs()
    mask = torch.randn(2, 1, 9, 9, dtype=torch.float64)
    with folding():
        found = F.scaled_dot_product_attention(*heads, attn_mask=mask)
    assert torch.equal(found, SDPA(*heads, attn_mask=mask))
