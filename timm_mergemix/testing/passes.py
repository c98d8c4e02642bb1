"""Forward passes of a model with and without merging, and the tokens and sizes inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import MergeMixError
from ..merge.attach import merging_in
from ..merge.families import Backbone
from ..merge.find.search import find_backbone
from ..merge.record import LayerRecord, Recording
from ..merge.schedule import R
from .properties import RefusedError, require

__all__ = ["Merge", "MergeCase", "Passes", "Run", "output_of"]

Run = Callable[[nn.Module, Tensor], Any]


class MergeCase(NamedTuple):
    """The arguments of a forward pass.

    Attributes:
        images: (B, C, H, W), images that the model takes.
        r: How many tokens merge in each block.
        matching: Name of the matching that chooses the tokens.
        seed: Seed of the random numbers.
    """

    images: Tensor
    r: R
    matching: str
    seed: int

    def __repr__(self) -> str:
        shape = tuple(self.images.shape)
        return f"images {shape}, r={self.r!r}, matching={self.matching!r}, seed {self.seed}"


class Merge(NamedTuple):
    """The merge in one block.

    Attributes:
        before: (B, N, C), the tokens before the merge.
        weights: (B, N), the sizes of the tokens before the merge.
        step: (B, N) int64, the token after the merge that contains each token before it.
        after: (B, K, C), the tokens after the merge.
        size: (B, K), the sizes of the tokens after the merge.
    """

    before: Tensor
    weights: Tensor
    step: Tensor
    after: Tensor
    size: Tensor


class Passes:
    """Runs a model with and without merging.

    Args:
        plain: The model without merging.
        patched: A patched copy of it.
        options: The arguments of `find_backbone` that select its blocks.
        run: A function that runs a model on images; None calls the model.
    """

    def __init__(self, plain: nn.Module, patched: nn.Module, options: dict[str, Any], run: Run | None = None) -> None:
        self._run = run
        self._plain = plain
        self._patched = patched
        self.backbone: Backbone = find_backbone(patched, **options)
        self._plain_blocks = find_backbone(plain, **options).blocks
        dtype = self.backbone.parameter.dtype
        self.tolerance = 1e-4 if torch.finfo(dtype).bits >= 32 else 30 * torch.finfo(dtype).eps

    def plain(self, images: Tensor) -> Tensor:
        """The output without merging."""
        return output_of(self._plain, images, self._run)

    def unpatched(self, images: Tensor) -> Tensor:
        """The output of the copy that was patched, with its current settings."""
        return output_of(self._patched, images, self._run)

    def merged(self, case: MergeCase) -> Tensor:
        """The output with merging."""
        with self.settings(case):
            return output_of(self._patched, case.images, self._run)

    @contextmanager
    def settings(self, case: MergeCase) -> Iterator[None]:
        """Sets the merging and the random seed of a case until the block ends.

        Raises:
            RefusedError: If the model cannot meet its ``r``.
        """
        torch.default_generator.manual_seed(case.seed)
        with ExitStack() as stack:
            try:
                stack.enter_context(merging_in(self.backbone, case.r, matching=case.matching))
            except MergeMixError as error:
                raise RefusedError from error
            yield

    def layers(self, case: MergeCase) -> list[LayerRecord]:
        """The record of each block."""
        recording = Recording(attention=False)
        with self.settings(case), self._observed(recording):
            output_of(self._patched, case.images, self._run)
        require(recording.layers, "no block runs")
        return recording.layers

    def merges(self, case: MergeCase) -> dict[int, Merge]:
        """The merge in each block that merged anything, by the number of the block."""
        seen: dict[int, dict[str, Any]] = {}
        with ExitStack() as stack:
            for number, block in enumerate(self.backbone.blocks):
                seen[number] = {}
                stack.enter_context(_watched(block, seen[number]))
            layers = self.layers(case)
        found = {}
        for number, layer in enumerate(layers):
            if "after" not in seen[number]:
                continue
            before, weights = seen[number]["before"], seen[number]["size"]
            weights = torch.ones(before.shape[:2]) if weights is None else weights
            step = layer.source
            if number and weights.shape[1] != layer.source.shape[1]:
                step = torch.zeros(weights.shape, dtype=torch.int64)
                step.scatter_(1, layers[number - 1].source, layer.source)
            found[number] = Merge(before, weights, step, seen[number]["after"], layer.size)
        return found

    def with_tokens(self, case: MergeCase, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs with and without merging, after a change of the tokens that enter the first block."""
        with _entering(self.backbone.blocks[0], change):
            merged = self.merged(case)
        with _entering(self._plain_blocks[0], change):
            return merged, self.plain(case.images)

    def last_tokens(self, case: MergeCase, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The tokens that leave the last block without merging, after a change of those that enter the first block."""
        seen: list[Tensor] = []
        last = self._plain_blocks[-1]
        handle = last.register_forward_hook(lambda _, given, made: seen.append(first_tensor(made)))
        try:
            with _entering(self._plain_blocks[0], change):
                self.plain(case.images)
        finally:
            handle.remove()
        return seen[-1]

    @contextmanager
    def _observed(self, recording: Recording) -> Iterator[None]:
        state = self.backbone.state
        if state is None:
            raise AssertionError("the model is no longer patched")
        with state.scope(observer=recording):
            yield


def output_of(model: nn.Module, images: Tensor, run: Run | None = None) -> Tensor:
    """The first tensor of a model's output on images; ``run`` runs the model as in `Passes`."""
    with torch.no_grad():
        return first_tensor(model(images) if run is None else run(model, images))


def first_tensor(found: Any) -> Tensor:
    """The first tensor in nested tuples, lists and dictionaries."""
    while not isinstance(found, Tensor):
        found = next(iter(found.values())) if hasattr(found, "values") else found[0]
    return found


@contextmanager
def _entering(block: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Applies a function to the tokens that enter a block, until the ``with`` block ends."""

    def changed(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (change(args[0]), *args[1:]), given
        name = next(name for name, value in given.items() if isinstance(value, Tensor))
        return args, given | {name: change(given[name])}

    handle = block.register_forward_pre_hook(changed, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _watched(block: Any, seen: dict[str, Any]) -> Iterator[None]:
    """Keeps the tokens of a block before and after its merge: the output of attention and the input of the MLP."""
    attention, mlp = block.attention_branch, block.mlp_branch

    def attention_branch(x: Tensor, context: Any) -> tuple[Tensor, Tensor | None]:
        branch, keys = attention(x, context)
        seen.update(before=x + branch, size=context.size)
        return branch, keys

    def mlp_branch(x: Tensor) -> Tensor | None:
        seen.update(after=x)
        result: Tensor | None = mlp(x)
        return result

    block.attention_branch, block.mlp_branch = attention_branch, mlp_branch
    try:
        yield
    finally:
        del block.attention_branch, block.mlp_branch
