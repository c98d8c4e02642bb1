"""Keys to match, and what a plan merges."""

import torch
from hypothesis import assume, settings
from hypothesis import strategies as st

from ..reference import randn

SETTINGS = settings(max_examples=50, deadline=None)


@st.composite
def cases(draw, max_patches=20):
    """Keys (B, N, D), r and the number of prefix tokens."""
    prefix, patches = draw(st.integers(0, 5)), draw(st.integers(0, max_patches))
    assume(prefix + patches > 0)
    keys = randn(draw(st.integers(1, 3)), prefix + patches, draw(st.integers(1, 9)), seed=draw(st.integers(0, 2**31)))
    return keys, draw(st.integers(0, patches // 2)), prefix


@st.composite
def padded_cases(draw, low_dim=1, max_patches=20):
    """Keys (B, N, D), r, the number of prefix tokens, and padding (B, N) among the unprotected tokens or None."""
    prefix, patches = draw(st.integers(0, 5)), draw(st.integers(0, max_patches))
    assume(prefix + patches > 0)
    batch, seed = draw(st.integers(0, 3)), draw(st.integers(0, 2**31))
    keys = randn(batch, prefix + patches, draw(st.integers(low_dim, 9)), seed=seed)
    padding = None
    if draw(st.booleans()):
        share = torch.tensor(draw(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), min_size=batch, max_size=batch)))
        padding = torch.rand(keys.shape[:2], generator=torch.Generator().manual_seed(seed)) < share[:, None]
        padding[:, :prefix] = False
    return keys, draw(st.integers(0, patches // 2)), prefix, padding


def merges_of(plan, sample):
    """Old position -> old position of each merge."""
    keep, source, target = (part[sample].tolist() for part in plan)
    return {a: keep[t] for a, t in zip(source, target, strict=True)}


def flags(padding, sample, length):
    return [False] * length if padding is None else padding[sample].tolist()
