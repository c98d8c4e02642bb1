"""Token merging in and out of a model by one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

from ..errors import check_bool, wrong
from .attach import detach, merge_by, merging_in, patched
from .clipping import warn_of_clipping
from .config import MergeConfig
from .find.search import Blocks, find_backbone, find_patched
from .info import state_of
from .record import Recording
from .schedule import R

__all__ = ["merging", "patch", "record", "unpatch"]

M = TypeVar("M", bound=nn.Module)


def patch(
    model: M,
    r: R,
    *,
    prop_attn: bool = True,
    matching: str = "bipartite",
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
    suffix_tokens: int | None = None,
    adapters: bool | None = None,
) -> M:
    """Adds token merging to a vision transformer, in place.

    Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461): in each block, between attention
    and MLP, the ``r`` most similar pairs of patch tokens become one. Weights and state-dict keys stay as they are. A
    model that is patched already gets the new settings.

    Args:
        model: A supported model (see `supported`) or a module that holds one: DDP, a compiled model, your own. Also a
            module of your own that holds only the blocks of one.
        r: Tokens that merge: an int per block; ``("decreasing", r)``, from 2 r in the first block to 0 in the last; a
            list with an int per block; ``("total", n)`` spread over the blocks; ``("keep", ratio)`` of the patch tokens
            left after the last block. An int and a decreasing r are clipped in each block to half of its patch tokens;
            a warning says so if that concerns more than the last blocks.
            Each may also be written as on the command line: ``"decreasing:13"``, ``"1,2,3"``, ``"keep:0.5"``.
        prop_attn: Proportional attention: a merged token counts as often as the patches that it stands for.
        matching: Which tokens merge. ``"bipartite"``: soft matching, as in the paper. ``"pitome"``: protects tokens
            unlike all others (Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS
            2024). ``"kth"`` and ``"random"``: baselines. See `timm_mergemix.functional`.
        blocks: For a module of your own: the path of the container of its blocks (``"encoder.layers"``), or the blocks
            in the order in which they run. All of them must run: after the last one all tokens are back. None finds the
            only ones. Where there are several sequences, as in an autoencoder, each is patched by itself.
        prefix_tokens: Leading tokens that never merge. None takes the model's own, which in a module of your own is
            its ``num_prefix_tokens``. A forward of yours that adds some, prompts for example, needs more.
        suffix_tokens: Trailing tokens that never merge, such as detection tokens that a forward of yours adds. None
            takes none. A model that is patched already keeps both numbers.
        adapters: Whether something between the blocks changes tokens, each in its place: adapters around the blocks,
            hooks that steer. If False, a block refuses tokens that are not those which the block before it returned.
            None keeps what a patched model has, which is False at first.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not supported, ``r`` has no known form or cannot be met, or there is no such
            matching.
    """
    if adapters is not None and not isinstance(adapters, bool):
        raise wrong("adapters", adapters, "True, False or None")
    backbone = find_backbone(model, "model", blocks, prefix_tokens, suffix_tokens)
    merge_by(backbone, MergeConfig(r, prop_attn, matching), adapters)
    warn_of_clipping(backbone, state_of(backbone).settings.schedule)
    return model


def unpatch(model: M) -> M:
    """Takes token merging out again: classes, hooks, attributes and outputs are as before `patch`.

    Args:
        model: A patched model, or a module that holds some: merging is taken out of all of them, and of all sequences
            of blocks. What is not patched is left as it is.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not a supported one.
    """
    for backbone in find_patched(model):
        detach(backbone)
    return model


@contextmanager
def merging(
    model: M,
    r: R | None = None,
    *,
    prop_attn: bool | None = None,
    matching: str | None = None,
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
    suffix_tokens: int | None = None,
) -> Iterator[M]:
    """Token merging for a while: patches the model, or changes the settings of a patched one.

    Args:
        model: As for `patch`.
        r: As for `patch`; 0 switches merging off. None keeps what is in force, which is 0 for an unpatched model.
        prop_attn: As for `patch`; None keeps what is in force.
        matching: As for `patch`; None keeps what is in force.
        blocks: As for `patch`.
        prefix_tokens: As for `patch`.
        suffix_tokens: As for `patch`.

    Yields:
        ``model`` itself. The settings hold for the thread that opens it, and for the asyncio task. A `patch` or an
        `unpatch` inside is for good: it leaves nothing to undo.

    Raises:
        MergeMixError: As `patch` does. With gradient checkpointing, also by a backward pass after the end, if the model
            was not patched before: it would have to recompute what is no longer there.
    """
    backbone = find_backbone(model, "model", blocks, prefix_tokens, suffix_tokens)
    with merging_in(backbone, r, prop_attn=prop_attn, matching=matching) as state:
        if r is not None:
            warn_of_clipping(backbone, state.settings_here.schedule)
        yield model


@contextmanager
def record(model: nn.Module, attention: bool = True, *, blocks: Blocks | None = None) -> Iterator[Recording]:
    """Keeps source maps, sizes and attention of the forward passes inside the context.

    Args:
        model: A supported model, patched or not.
        attention: Whether attention is recorded too: from the class token, else received from all patches. It costs one
            more query-key projection a block.
        blocks: As for `patch`: which blocks are recorded, where the model holds several sequences of them.

    Yields:
        A `Recording`, filled while the context is open; inside another `record` it takes that one's place.

    Raises:
        MergeMixError: If the model is not supported, or an argument cannot be used.
    """
    check_bool("attention", attention)
    recording = Recording(attention=attention)
    with patched(find_backbone(model, blocks=blocks)) as state, state.scope(observer=recording):
        yield recording
