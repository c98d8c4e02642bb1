"""The settings of a patched model, and what a forward pass carries from block to block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Proxy

from ..errors import Words, wrong
from .matching.tokens import recover
from .record import Observer
from .schedule import Schedule, resolve

__all__ = ["Merging", "Settings", "Tokens", "refuse_symbols"]


@dataclass(frozen=True)
class Settings:
    """How a patched model merges: a `MergeConfig` for a model of that depth.

    Attributes:
        schedule: How many tokens merge in each block.
        prop_attn: Whether log(size) is added to the attention logits.
        matching: How it is decided which tokens merge, one of `timm_mergemix.merge.matching.choose.MATCHINGS`.
    """

    schedule: Schedule
    prop_attn: bool = True
    matching: str = "bipartite"


class Tokens(NamedTuple):
    """What travels from block to block beside the tokens themselves.

    Attributes:
        merges: How many tokens merge in each block of this forward pass.
        length: Number of tokens, prefix tokens counted.
        block: Index of the block that runs next.
        size: (B, length) float32, patches per token; None while nothing has merged.
        source: (B, N) int64, original token -> token; None while nothing has merged.
        valid: (B, N) float32, 1 for an original token and 0 for padding; None where there is no padding.
    """

    merges: tuple[int, ...]
    length: int
    block: int = 0
    size: Tensor | None = None
    source: Tensor | None = None
    valid: Tensor | None = None

    def weights(self) -> Tensor | None:
        """(B, length) float32, patches per token, 0 for padding; None where each token stands for one patch."""
        return self.valid if self.size is None else self.size

    def entries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Size and source as tensors, also where nothing has merged."""
        if self.size is not None and self.source is not None:
            return self.size, self.source
        positions = torch.arange(self.length, device=x.device).expand(x.shape[0], -1)
        size = torch.ones(x.shape[:2], dtype=torch.float32, device=x.device) if self.valid is None else self.valid
        return size, positions


class Merging(nn.Module):
    """Shared by all blocks of a patched model; has no parameters and no buffers.

    Outside a forward pass it holds settings only, so copies and pickles never carry tensors of a pass.

    Args:
        settings: How to merge.
        depth: Number of blocks.
        prefix_tokens: Leading tokens that never merge.
        has_class_token: Whether the first token is a class token.
        in_model: Whether the model around the blocks is patched too, or the blocks alone.
    """

    def __init__(
        self, settings: Settings, depth: int, prefix_tokens: int, has_class_token: bool, in_model: bool = True
    ) -> None:
        super().__init__()
        self.settings = settings
        self.depth = depth
        self.prefix_tokens = prefix_tokens
        self.has_class_token = has_class_token
        self.in_model = in_model
        self.checkpointing = False
        self.tokens: Tokens | None = None
        self.valid: Tensor | None = None
        self.aside: Tensor | None = None
        self.exposing = False
        self.recovering = True
        self.observer: Observer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {
            "tokens": None,
            "valid": None,
            "aside": None,
            "exposing": False,
            "recovering": True,
            "observer": None,
        }

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"r={self.settings.schedule.r}, prop_attn={self.settings.prop_attn}, matching={self.settings.matching!r}"

    def take_padding(self, patch_valid: Tensor | None) -> None:
        """Says, before the first block runs, which patches are none: (B, N) bool, False for padding."""
        self.valid = None
        if patch_valid is not None:
            self.valid = F.pad(patch_valid.float(), (self.prefix_tokens, 0), value=1.0)

    def enter(self, index: int, x: Tensor) -> tuple[Tensor, Tokens]:
        """The merged tokens that block ``index`` works on, and their state."""
        refuse_symbols(x)
        tokens = self.tokens
        if index == 0 or tokens is None:
            length = int(x.shape[1])  # an int also under torch.jit.trace
            if length < self.prefix_tokens:
                raise wrong("prefix_tokens", self.prefix_tokens, f"at most {length}, the tokens that enter block 0")
            merges = resolve(self.settings.schedule, length - self.prefix_tokens)
            tokens = Tokens(merges, length, valid=self.valid)
            self.aside = self.valid = None
        elif self.aside is not None:
            x, self.aside = self.aside, None
        # Without the blocks before it, a block would silently lose sizes and source map.
        if any(tokens.merges) and (tokens.block, tokens.length) != (index, x.shape[1]):
            raise wrong(
                f"block {index}",
                Words(f"{x.shape[1]} tokens"),
                f"block {tokens.block} with {tokens.length} tokens; the blocks of a patched model must run in "
                "order, from the first one; patch again if some were removed",
            )
        return x, tokens

    def leave(self, index: int, x: Tensor, tokens: Tokens) -> Tensor:
        """What block ``index`` returns: merged tokens, or all of them where the caller must see all."""
        if self.observer is not None:
            self.observer.on_block(index, *tokens.entries(x))
        last = index == self.depth - 1
        self.tokens = (
            None if last else Tokens(tokens.merges, tokens.length, index + 1, tokens.size, tokens.source, tokens.valid)
        )
        if tokens.source is None:
            return x
        if self.exposing:
            self.aside = None if last else x
            return recover(x, tokens.source)
        return recover(x, tokens.source) if last and self.recovering else x

    def during(self, **flags: Any) -> During:
        """Sets attributes (``exposing``, ``recovering``, ``observer``, ``settings``) for a while."""
        return During(self, flags)


def refuse_symbols(x: Any) -> None:
    """Raises where torch.fx traces: what merging does depends on the number of tokens."""
    if isinstance(x, Proxy):  # torchvision's create_feature_extractor makes them
        raise wrong(
            "model",
            Words("torch.fx's symbolic trace of a patched model"),
            "one of the unpatched model; forward_intermediates gives features of a patched one",
        )


class During:
    """What `Merging.during` returns; a class, since older compilers do not see through generators."""

    def __init__(self, merging: Merging, flags: dict[str, Any]) -> None:
        self.merging = merging
        self.flags = flags
        self.before = {name: getattr(merging, name) for name in flags}

    def __enter__(self) -> None:
        for name, value in self.flags.items():
            setattr(self.merging, name, value)

    def __exit__(self, *error: object) -> None:
        for name, value in self.before.items():
            setattr(self.merging, name, value)
        self.merging.tokens = self.merging.aside = self.merging.valid = None
