"""check_patched names planted faults of merging, accepts correct models, and leaves the model alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix.merge import blocks as merging_blocks
from timm_mergemix.merge.blocks import MergingBlock
from timm_mergemix.merge.matching import tokens as matching_tokens
from timm_mergemix.merge.matching.pass_plan import plan_in_order
from timm_mergemix.testing import InvariantError, check_patched, patched
from timm_mergemix.testing.merging import MERGING_INVARIANTS
from timm_mergemix.testing.patched import UNPATCH

from ..merge.families.cases import BUILDERS, images
from ..merge.families.hf import tiny as hf
from ..merge.patched import assert_unchanged, snapshot
from ..models import tiny, tiny_torchvision

MERGE, COMPOSE = matching_tokens.merge_tokens, matching_tokens.compose_source


def unweighted(x: Tensor, plan: Any, size: Tensor | None = None, **call: Any) -> tuple[Tensor, Tensor]:
    """Takes the mean of tokens without weighting them by size."""
    return MERGE(x, plan)[0], MERGE(x, plan, size)[1]


def wrong_sizes(x: Tensor, plan: Any, size: Tensor | None = None, **call: Any) -> tuple[Tensor, Tensor]:
    """Sizes that ignore earlier merges."""
    return MERGE(x, plan, size)[0], MERGE(x, plan)[1]


def emptied(place: Tensor, source: Tensor | None = None) -> Tensor:
    """The source map claims that all patches of one token are in another."""
    found = COMPOSE(place, source)
    return found.where(found != 1, 2)


def parted(place: Tensor, source: Tensor | None = None) -> Tensor:
    """The source map swaps two patches, from the second merge on."""
    found = COMPOSE(place, source).clone()
    if source is not None:
        found[:, [3, 6]] = found[:, [6, 3]]
    return found


def plan_with_all(merging: Any, matching: str, keys: Tensor, r: int, *rest: Any) -> Any:
    """The first tokens, including the class token, merge with the tokens after them."""
    first = torch.arange(r).expand(len(keys), -1)
    return plan_in_order(0, torch.arange(r, keys.shape[1]).expand(len(keys), -1).contiguous(), first, first + r)


def plan_with_fewer(merging: Any, matching: str, keys: Tensor, r: int, *rest: Any) -> Any:
    return merging_blocks.plan_merges(matching, keys, max(r - 1, 1), 1, None, 0.0, None)


def inexact(cls: type[MergingBlock]) -> Callable[..., Tensor]:
    return lambda *args, **call: cls.plain.forward(*args, **call) * (1 + 1e-6)


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "a merge keeps the sum": (merging_blocks, "merge_tokens", unweighted),
    "sizes count the patches": (merging_blocks, "merge_tokens", wrong_sizes),
    "each patch is in one token": (merging_blocks, "compose_source", emptied),
    "merged tokens stay together": (merging_blocks, "compose_source", parted),
    "protected tokens stay alone": (merging_blocks, "_plan", plan_with_all),
    "as many tokens as planned": (merging_blocks, "_plan", plan_with_fewer),
    "twins merge for nothing": (merging_blocks, "log_size_bias", lambda *_, **__: None),
    "r 0 changes nothing": (MergingBlock, "plain_forward", classmethod(inexact)),
}


@pytest.mark.parametrize("invariant", FAULTS)
def test_a_fault_planted_in_merging_is_found(invariant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[invariant])
    with pytest.raises(InvariantError) as raised:
        check_patched(tiny())
    assert raised.value.invariant == invariant, str(raised.value)
    assert raised.value.case.images.shape == (1, 3, 64, 64) and "images (1, 3, 64, 64), r=" in str(raised.value)


class OverTokens(nn.Module):
    """An adapter whose result depends on the number of tokens."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x) * x.shape[1] / 17


class OverBatch(OverTokens):
    """An adapter that subtracts the mean over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x - x.mean(dim=0) * (len(x) > 1))


class ItsOwnTokens(nn.Module):
    """A model that returns the output of its last MLP unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.model = tiny()

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = self.model.blocks[-1].mlp.register_forward_hook(lambda _, given, made: seen.append(made))
        self.model(x)
        handle.remove()
        return seen[0]


@pytest.mark.parametrize(
    ("adapter", "invariant"),
    [(OverTokens, "equal tokens merge for nothing"), (OverBatch, "each image merges by itself")],
)
def test_a_fault_of_an_adapter_is_found(adapter: type[nn.Module], invariant: str) -> None:
    model = tiny()
    for block in model.blocks:
        block.mlp = adapter(block.mlp)
    with pytest.raises(InvariantError, match=f"^{invariant}: outputs .*differ by .* of the largest value"):
        check_patched(model)


def test_a_model_that_returns_merged_tokens_is_found() -> None:
    with pytest.raises(InvariantError, match=r"^all tokens come back: .* shape \(1, 14, 48\), but \(1, 17, 48\)"):
        check_patched(ItsOwnTokens(), torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (lambda block: setattr(block, "merged", True), "something is left over in 'blocks.0'"),
        (lambda block: block.register_forward_hook(lambda *_: None), "something is left over in 'blocks.0'"),
        (lambda block: block.mlp.fc1.bias.data.add_(1), "weights are changed"),
        (lambda block: block.add_module("more", nn.Identity()), "modules have been added or removed"),
        (lambda block: setattr(block.norm1, "eps", 1.0), "outputs are changed"),
    ],
)
def test_changes_that_unpatch_leaves_are_found(
    left: Callable[[Any], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detach = MergingBlock.take_out.__func__

    def take_out(cls: type[MergingBlock], block: Any) -> None:
        detach(cls, block)
        left(block)

    monkeypatch.setattr(MergingBlock, "take_out", classmethod(take_out))
    with pytest.raises(InvariantError, match=f"^{UNPATCH}: {said}"):
        check_patched(tiny(), without=tuple(MERGING_INVARIANTS))


def test_a_weight_that_patch_adds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def adding(model: Any, r: int) -> Any:
        model.blocks[0].register_buffer("counts", torch.zeros(1))
        return mm.patch(model, r)

    monkeypatch.setattr(patched, "patch", adding)
    with pytest.raises(InvariantError, match=f"^{UNPATCH}: patch changes the names of weights"):
        check_patched(tiny(), without=tuple(MERGING_INVARIANTS))


@pytest.mark.parametrize("case", ["LayerScale", "eva02", "cait", "torchvision", "average, no class token"])
def test_models_of_several_families_pass(case: str) -> None:
    model = BUILDERS[case]()
    check_patched(model, images(model, 2), examples=3)


def test_the_model_is_left_unchanged() -> None:
    for model in (tiny().train(), mm.patch(tiny(), 3)):
        before, weights = snapshot(model), {name: value.clone() for name, value in model.state_dict().items()}
        check_patched(model, examples=1)
        assert_unchanged(before, model)
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_options_are_those_of_patch() -> None:
    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = tiny_torchvision().encoder.layers
            self.embed = nn.Linear(3, 48)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embed(x.flatten(2).mT)
            for block in self.blocks:
                tokens = block(tokens)
            return tokens

    x = torch.rand(2, 3, 4, 5)
    check_patched(Prompted(), x, examples=3, blocks="blocks", prefix_tokens=3, suffix_tokens=1)
    with pytest.raises(mm.MergeMixError, match="images: got None, wanted images that the model takes"):
        check_patched(Prompted(), prefix_tokens=1)


@pytest.mark.skipif("hf siglip2" not in BUILDERS, reason="this transformers has no siglip2")
def test_a_model_that_takes_more_than_images() -> None:
    model = BUILDERS["hf siglip2"]()
    x = images(model, 2)
    with pytest.raises(mm.MergeMixError, match="images: the model does not accept them, even without merging: TypeEr"):
        check_patched(model, x)
    check_patched(model, x, run=hf.output, examples=1)


@pytest.mark.parametrize(
    ("argument", "use"),
    [
        ("images", lambda: check_patched(tiny(), torch.rand(3, 64, 64))),
        ("images", lambda: check_patched(tiny(), torch.rand(0, 3, 64, 64))),
        ("examples", lambda: check_patched(tiny(), examples=0)),
        (r"without\[0\]", lambda: check_patched(tiny(), without=("everything",))),
        ("model", lambda: check_patched("vit")),
    ],
)
def test_bad_arguments_are_named(argument: str, use: Callable[[], None]) -> None:
    with pytest.raises(mm.MergeMixError, match=f"^{argument}: got"):
        use()
