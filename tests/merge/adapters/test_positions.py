import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix.merge.adapters.positions import merge_rope
from timm_mergemix.merge.matching import bipartite_matching
from timm_mergemix.merge.tokens import compose_source, merge_tokens

from ..reference import randn


def merged(batch: int, patches: int, prefix: int, r: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Size and source map after two merges."""
    x, source, size = randn(batch, prefix + patches, 4), None, None
    for _ in range(2):
        plan = bipartite_matching(x, min(r, (x.shape[1] - prefix) // 2), prefix)
        x, size = merge_tokens(x, plan, size)
        source = compose_source(plan, source)
    return size, source


@settings(deadline=None, max_examples=30)
@given(
    shape=st.sampled_from([(), (3,), (2, 1), (2, 3)]),
    patches=st.integers(2, 12),
    prefix=st.integers(0, 2),
    r=st.integers(1, 4),
)
def test_rope_is_the_mean_over_members(shape: tuple[int, ...], patches: int, prefix: int, r: int) -> None:
    size, source = merged(2, patches, prefix, r)
    rope = randn(*shape, patches, 6, seed=1)
    got = merge_rope(rope, source, size, prefix)
    rows = rope[(None,) * (4 - rope.ndim)].expand(2, -1, -1, -1)
    for sample in range(2):
        for token in range(prefix, size.shape[1]):
            members = (source[sample, prefix:] == token).nonzero().flatten()
            torch.testing.assert_close(got[sample, :, token - prefix], rows[sample][:, members].mean(dim=1))


def test_rope_of_unmerged_tokens_is_passed_on() -> None:
    rope = randn(9, 4)
    assert merge_rope(rope, None, None, 1) is rope


def test_rope_keeps_its_dtype() -> None:
    size, source = merged(1, 6, 1, 2)
    assert merge_rope(randn(6, 4).bfloat16(), source, size, 1).dtype == torch.bfloat16
