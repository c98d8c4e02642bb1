"""What one forward pass carries from block to block."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Proxy

from ..errors import Words, wrong
from .handover import Handover
from .matching.pass_plan import shared_numbers
from .matching.tokens import recover
from .recompute import Checkpointed, Manner, in_order
from .record import Watcher
from .schedule import resolve
from .settings import Layout, Settings
from .tracing import check_length, may_merge, token_count

__all__ = ["Here", "Opened", "Pass", "Tokens", "is_symbolic", "refuse_symbols"]


class Tokens(NamedTuple):
    """What travels from block to block beside the tokens themselves.

    Attributes:
        merges: How many tokens merge in each block of this forward pass.
        length: Number of tokens, protected ones counted.
        block: Index of the block that runs next.
        size: (B, length) float32, patches per token; None while nothing has merged.
        source: (B, N) int64, original token -> token; None while nothing has merged, or if it is not needed.
        valid: (B, N) float32, 1 for an original token and 0 for padding; None if there is no padding.
        mapped: Whether the source map is needed, to recover all tokens or by a watcher of the pass.
        numbers: See `shared_numbers`; None if nothing merges.
    """

    merges: tuple[int, ...]
    length: int
    block: int = 0
    size: Tensor | None = None
    source: Tensor | None = None
    valid: Tensor | None = None
    mapped: bool = True
    numbers: Tensor | None = None

    def may_merge(self) -> bool:
        """Whether anything merges in this pass; True where an export leaves it open."""
        return any(may_merge(r) for r in self.merges)

    def after(self, block: int, length: int, size: Tensor | None, source: Tensor | None) -> Tokens:
        """The tokens after a merge; ``block`` is the index of the block that runs next, or that has merged them."""
        # Not `_replace`, which the compiler of torch 2.6 does not see through.
        return Tokens(self.merges, length, block, size, source, self.valid, self.mapped, self.numbers)

    def weights(self) -> Tensor | None:
        """(B, length) float32, patches per token, 0 for padding; None if each token stands for one patch."""
        return self.valid if self.size is None else self.size

    def entries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Size and source as tensors, also where nothing has merged."""
        if self.size is not None and self.source is not None:
            return self.size, self.source
        positions = torch.arange(self.length, device=x.device).expand(x.shape[0], -1)
        size = torch.ones(x.shape[:2], dtype=torch.float32, device=x.device) if self.valid is None else self.valid
        return size, positions


class Pass:
    """One forward pass: its settings, fixed when it begins, and its tokens between two blocks.

    Args:
        settings: How it merges.
        layout: Which of its tokens may merge.
        watcher: Whom it tells what it does, or None.
        depth: Number of blocks that run.
        opened: Whether a model's own method runs the blocks, and closes the pass.
        recovering: Whether the last block returns all tokens.
        exposing: Whether each block returns all tokens, and hands on the merged ones aside.
        lenient: Whether tokens may change between two blocks, one by one.
        checkpointed: How earlier passes ran inside checkpoints; None if that does not matter.

    Attributes:
        tokens: What block `Tokens.block` will take; None before the first block and after the last one.
        most_patches: The number of patches, where images have one size; None if they have others.
        masked: Whether a mask that reaches the blocks says anything; False where the model has made one of all tokens,
            as some do for tracers.
        claimed: Whether a method that runs the blocks has taken the pass for its own.
        begun: Whether the first block has run, or still runs, and not yet the last one.
        ended: Whether the last block has run.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        watcher: Watcher | None,
        depth: int,
        opened: bool = False,
        recovering: bool = True,
        exposing: bool = False,
        lenient: bool = False,
        checkpointed: Checkpointed | None = None,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self.watcher = watcher
        self.depth = depth
        self.opened = opened
        self.recovering = recovering
        self.exposing = exposing
        self.lenient = lenient
        self.most_patches = layout.most_patches
        self.masked = True
        self.claimed = False
        self.begun = False
        self.ended = False
        self.checkpointed = checkpointed
        self.tokens: Tokens | None = None
        self.valid: Tensor | None = None
        self.aside: Tensor | None = None
        self.handover: Handover | None = None

    def is_over(self, index: int) -> bool:
        """Whether block ``index`` runs in another pass: this one has ended, or was left before its end."""
        if index == 0:
            return self.begun or not self.opened
        return self.ended and not self.opened

    def enter(self, index: int, x: Tensor) -> tuple[Tensor, Tokens]:
        """The merged tokens that block ``index`` works on, and their state.

        Raises:
            MergeMixError: If the tokens are not those that the block before has returned.
        """
        refuse_symbols(x)
        tokens = self.tokens
        if index == 0 or tokens is None:
            x = check_length(x, token_count(x))
            tokens = self._begin(x)
        if tokens.may_merge():
            self._check_order(index, x, tokens)
        if self.aside is not None:
            x, self.aside = self.aside, None
        return x, tokens

    def leave(self, index: int, x: Tensor, tokens: Tokens) -> Tensor:
        """What block ``index`` returns: merged tokens, or all of them where the caller must see all."""
        if self.watcher is not None:
            self.watcher.on_block(index, *tokens.entries(x))
        if index == self.depth - 1:
            self._end()
            all_of_them = tokens.source is not None and (self.recovering or self.exposing)
            return recover(x, tokens.source) if all_of_them else x  # type: ignore[arg-type]
        self.tokens = tokens.after(index + 1, tokens.length, tokens.size, tokens.source)
        out = x
        if self.exposing and tokens.source is not None:
            self.aside, out = x, recover(x, tokens.source)
        lenient = self.lenient and not self.exposing  # what is done to tokens is not done to those aside
        self.handover = Handover(out, lenient) if tokens.may_merge() else None
        return out

    def _begin(self, x: Tensor) -> Tokens:
        if self.ended and not self.recovering:  # whoever ran them before has got merged tokens
            raise wrong(
                "blocks",
                Words("a second run inside one forward pass"),
                "a single run; a hook that runs the blocks again must call the model",
            )
        layout, length = self.layout, token_count(x)
        if length < layout.protected:
            raise wrong(
                "suffix_tokens" if layout.suffix_tokens else "prefix_tokens",
                layout.protected,
                f"at most {length}, the tokens that enter block 0",
            )
        if self.checkpointed is not None:
            now = Manner(self.settings, self.recovering)
            self.settings, self.recovering = self.checkpointed.manner(now)
        patches = length - layout.protected
        mapped = self.recovering or self.exposing or self.watcher is not None
        merges = resolve(self.settings.schedule, patches)
        numbers = shared_numbers(x) if any(may_merge(r) for r in merges) else None
        tokens = Tokens(merges, length, valid=self.valid, mapped=mapped, numbers=numbers)
        if tokens.may_merge():
            self._check_patches(patches)
        self.aside = self.valid = self.handover = None
        self.begun = True
        return tokens

    def _check_patches(self, patches: int) -> None:
        layout = self.layout
        if self.most_patches is not None and patches > self.most_patches:
            raise wrong(
                "prefix_tokens, suffix_tokens",
                Words(f"{layout.prefix_tokens} and {layout.suffix_tokens}, which leave {patches} patches"),
                "as many as there are leading and trailing tokens that are not patches: images have "
                f"{self.most_patches} patches",
            )

    def _check_order(self, index: int, x: Tensor, tokens: Tokens) -> None:
        """Without the blocks before it, a block would silently lose sizes and source map."""
        if tokens.block != index:
            wanted = f"block {tokens.block} with {tokens.length} tokens; {in_order()}"
            raise wrong(f"block {index}", Words(f"{x.shape[1]} tokens"), wanted)
        if self.handover is not None and not self.handover.delivers(x):
            wanted = f"the tokens that block {index - 1} returned, to which sizes and source map belong"
            raise wrong(f"block {index}", Words("other tokens"), f"{wanted}; {self._advice_on_changes()}")
        self.handover = None

    def _advice_on_changes(self) -> str:
        if self.exposing:
            return "forward_intermediates passes merged tokens on separately, so adapters and hooks cannot change them"
        if self.lenient:
            return "adapters and hooks may change each token in its place, but not the number of tokens"
        return "if an adapter or a hook changes each token in its place, call timm_mergemix.patch with adapters=True"

    def _end(self) -> None:
        self.tokens = self.aside = self.handover = None
        self.begun, self.ended = False, True
        if not self.opened:
            self.watcher = None  # nobody closes the pass


class Here(threading.local):
    """What belongs to one thread: its pass that is under way."""

    def __init__(self) -> None:
        self.current: Pass | None = None
        self.valid: Tensor | None = None  # the padding of the pass that begins next


class Opened:
    """The pass of a model's method that runs the blocks; a class, as older compilers do not see through generators.

    Args:
        here: Where the pass of this thread is.
        new: The pass, which may already be the current one.
    """

    def __init__(self, here: Here, new: Pass) -> None:
        self.here = here
        self.new = new
        self.before: Pass | None = None

    def __enter__(self) -> Pass:
        self.before = self.here.current
        self.here.current = self.new
        return self.new

    def __exit__(self, *error: object) -> None:
        self.here.current = self.before


def is_symbolic(x: Any) -> bool:
    """Whether torch.fx traces, as torchvision's and timm's feature extractors do: then tensors have no values."""
    return isinstance(x, Proxy)


def refuse_symbols(x: Any) -> None:
    """Raises if torch.fx traces, since merging depends on the number of tokens."""
    if is_symbolic(x):
        raise wrong(
            "model",
            Words("torch.fx's symbolic trace of a patched model"),
            "a trace of the unpatched model; forward_intermediates returns the features of a patched one",
        )
