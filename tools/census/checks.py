"""What is demanded of each patched model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import timm_mergemix as mm

from .inputs import Input, alone, tensor
from .passes import Plain, gradients, run, run_mixed
from .row import Row
from .shrink import DEPTH, grid, patch_pixels

R = 3


def check_identity(model: nn.Module, x: Input, plain: Plain) -> str | None:
    out, mixed = run(model, x), run_mixed(model, x)
    if torch.equal(out, plain.out):
        # A padded batch takes the merging forward from the first block on.
        if not isinstance(x, dict):
            assert torch.equal(mixed, plain.mixed), f"bf16 differs by {_relative(mixed, plain.mixed):.1e}"
        return None
    error = _relative(out, plain.out)
    assert error <= 1e-5, f"fp32 differs by {error:.1e}"
    return "close, not equal"


def check_merged(model: nn.Module, x: Input, plain: Plain) -> None:
    with torch.no_grad(), mm.record(model, attention=False) as rec:
        out = tensor(model(x))
    assert out.shape == plain.out.shape, f"shape {tuple(out.shape)}, was {tuple(plain.out.shape)}"
    assert out.isfinite().all(), "not finite"
    assert _relative(out, plain.out) > 1e-3, "same as unmerged"
    counts = [layer.size.shape[1] for layer in rec.layers]
    wanted = [plain.tokens - R * (i + 1) for i in range(DEPTH)]
    assert counts == wanted, f"tokens {counts}, wanted {wanted}"
    total = rec.layers[-1].size.sum(dim=1)
    members = x["patch_valid"].sum(dim=1) + plain.tokens - x["patch_valid"].shape[1] if isinstance(x, dict) else None
    wanted_total = torch.full_like(total, plain.tokens) if members is None else members.to(total)
    assert torch.equal(total, wanted_total), f"sizes sum to {total.tolist()}, wanted {wanted_total.tolist()}"
    assert run_mixed(model, x).isfinite().all(), "not finite in bf16"


def check_info(model: nn.Module, plain: Plain) -> None:
    size = grid(model) * patch_pixels(model)
    tokens = mm.merge_info(model, (size, size)).tokens
    wanted = tuple(plain.tokens - R * i for i in range(DEPTH + 1))
    assert tokens == wanted, f"tokens {tokens}, wanted {wanted}"


def check_gradients(model: nn.Module, x: Input, plain: Plain) -> None:
    largest = max(g.abs().max().item() for g in plain.gradients.values() if g is not None)
    merged = gradients(model, x)
    assert merged.keys() == plain.gradients.keys(), "other parameters"
    for name, before in plain.gradients.items():
        if before is None or not before.isfinite().all():
            continue
        after = merged[name]
        assert after is not None, f"{name} has none"
        assert after.isfinite().all(), f"{name} is not finite"
        assert after.any() or before.abs().max() <= 1e-5 * largest, f"{name} is zero"


def check_padding(model: nn.Module, x: dict[str, Tensor]) -> None:
    out = run(model, x)
    error = _relative(out[:1], run(model, alone(x, 0)))
    assert error <= 1e-4, f"padding of another sample changes a full one by {error:.1e}"
    noise = torch.randn(x["patches"].shape, generator=torch.Generator().manual_seed(2))
    error = _relative(run(model, x | {"patches": x["patches"].where(x["patch_valid"][..., None], noise)}), out)
    assert error <= 1e-4, f"what stands in the padding changes the output by {error:.1e}"


def check_saliency(row: Row, model: nn.Module, x: Tensor) -> None:
    try:
        saliency = mm.saliency_map(model, x)
    except mm.MergeMixError as error:
        row.notes["saliency: refused"] = str(error)
        return
    side = grid(model)
    assert saliency.shape == (len(x), side, side), f"shape {tuple(saliency.shape)}"
    assert saliency.isfinite().all() and (saliency >= 0).all(), "not finite or negative"
    assert (saliency.sum(dim=(1, 2)) - 1).abs().max() <= 1e-5, f"sums to {saliency.sum(dim=(1, 2)).tolist()}"
    assert saliency.std(dim=(1, 2)).min() > 1e-6, "the same everywhere"


def _relative(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape, f"shape {tuple(a.shape)}, was {tuple(b.shape)}"
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()
