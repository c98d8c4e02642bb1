"""The checks that each patched model must pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import timm_mergemix as mm

from ..require import CheckError, require
from .inputs import Input, alone, tensor
from .passes import Plain, gradients, run, run_mixed
from .row import Row
from .shrink import DEPTH, grid, patch_pixels

R = 3


def check_identity(model: nn.Module, x: Input, plain: Plain) -> str | None:
    """With r=0, the output must equal that of the plain model; returns a note if it is only close."""
    out, mixed = run(model, x), run_mixed(model, x)
    if torch.equal(out, plain.out):
        # A padded batch runs the forward of merging from the first block on.
        if not isinstance(x, dict):
            require(torch.equal(mixed, plain.mixed), f"bf16 differs by {_relative(mixed, plain.mixed):.1e}")
        return None
    error = _relative(out, plain.out)
    require(error <= 1e-5, f"fp32 differs by {error:.1e}")
    return "close, not equal"


def check_merged(model: nn.Module, x: Input, plain: Plain) -> None:
    """Merging must keep the shape, change the values, and merge the requested number of tokens; sizes must add up."""
    with torch.no_grad(), mm.record(model, attention=False) as rec:
        out = tensor(model(x))
    require(out.shape == plain.out.shape, f"shape {tuple(out.shape)}, was {tuple(plain.out.shape)}")
    require(out.isfinite().all(), "not finite")
    require(_relative(out, plain.out) > 1e-3, "same as unmerged")
    counts = [layer.size.shape[1] for layer in rec.layers]
    wanted = [plain.tokens - R * (i + 1) for i in range(DEPTH)]
    require(counts == wanted, f"tokens {counts}, wanted {wanted}")
    total = rec.layers[-1].size.sum(dim=1)
    members = x["patch_valid"].sum(dim=1) + plain.tokens - x["patch_valid"].shape[1] if isinstance(x, dict) else None
    wanted_total = torch.full_like(total, plain.tokens) if members is None else members.to(total)
    require(torch.equal(total, wanted_total), f"sizes sum to {total.tolist()}, wanted {wanted_total.tolist()}")
    require(run_mixed(model, x).isfinite().all(), "not finite in bf16")


def check_info(model: nn.Module, plain: Plain) -> None:
    """`merge_info` must predict the numbers of tokens without a forward pass."""
    size = grid(model) * patch_pixels(model)
    tokens = mm.merge_info(model, (size, size)).tokens
    wanted = tuple(plain.tokens - R * i for i in range(DEPTH + 1))
    require(tokens == wanted, f"tokens {tokens}, wanted {wanted}")


def check_gradients(model: nn.Module, x: Input, plain: Plain) -> None:
    """Each parameter that gets a gradient without merging must also get one with merging."""
    largest = max(g.abs().max().item() for g in plain.gradients.values() if g is not None)
    merged = gradients(model, x)
    require(merged.keys() == plain.gradients.keys(), "different parameters")
    for name, before in plain.gradients.items():
        if before is None or not before.isfinite().all():
            continue
        after = merged[name]
        if after is None:
            raise CheckError(f"{name} has no gradient")
        require(after.isfinite().all(), f"{name} is not finite")
        require(after.any() or before.abs().max() <= 1e-5 * largest, f"{name} is zero")


def check_padding(model: nn.Module, x: dict[str, Tensor]) -> None:
    """Neither the contents nor the presence of padding may change the output of the other tokens."""
    out = run(model, x)
    error = _relative(out[:1], run(model, alone(x, 0)))
    require(error <= 1e-4, f"padding of another sample changes a sample without padding by {error:.1e}")
    noise = torch.randn(x["patches"].shape, generator=torch.Generator().manual_seed(2))
    error = _relative(run(model, x | {"patches": x["patches"].where(x["patch_valid"][..., None], noise)}), out)
    require(error <= 1e-4, f"the contents of the padding change the output by {error:.1e}")


def check_saliency(row: Row, model: nn.Module, x: Tensor) -> None:
    """The saliency map must be a distribution over the grid that is not uniform, or be refused with a reason."""
    try:
        saliency = mm.saliency_map(model, x)
    except mm.MergeMixError as error:
        row.notes["saliency: refused"] = str(error)
        return
    side = grid(model)
    require(saliency.shape == (len(x), side, side), f"shape {tuple(saliency.shape)}")
    require(saliency.isfinite().all() and (saliency >= 0).all(), "not finite or negative")
    require((saliency.sum(dim=(1, 2)) - 1).abs().max() <= 1e-5, f"sums to {saliency.sum(dim=(1, 2)).tolist()}")
    require(saliency.std(dim=(1, 2)).min() > 1e-6, "uniform")


def _relative(a: Tensor, b: Tensor) -> float:
    require(a.shape == b.shape, f"shape {tuple(a.shape)}, was {tuple(b.shape)}")
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()
