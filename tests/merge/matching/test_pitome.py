"""PiToMe's matching protects tokens unlike all others."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching import pitome
from timm_mergemix.merge.matching.choose import match
from timm_mergemix.merge.matching.pitome import _energy, pitome_margin, pitome_matching
from timm_mergemix.merge.matching.similarity import cosines, directions

from ..reference import randn
from .slow_matching import NearTieError, slow_energy, slow_pitome

SETTINGS = settings(max_examples=80, deadline=None)


@st.composite
def cases(draw, margins=(-0.5, 0.0, 0.3, 0.45, 0.9)):
    """Keys (B, N, D) of which some are alike, r, the number of prefix tokens, the margin."""
    prefix, patches = draw(st.integers(0, 3)), draw(st.integers(2, 14))
    batch, dim, seed = draw(st.integers(1, 3)), draw(st.integers(2, 9)), draw(st.integers(0, 2**31))
    keys = randn(batch, prefix + patches, dim, seed=seed) + draw(st.sampled_from([0.0, 1.0, 3.0]))
    return keys, draw(st.integers(0, patches // 2)), prefix, draw(st.sampled_from(margins))


def merges_of(plan, sample):
    keep, source, target = (part[sample].tolist() for part in plan)
    return {a: keep[t] for a, t in zip(source, target, strict=True)}


@SETTINGS
@given(cases())
def test_merges_equal_the_slow_reference(case):
    keys, r, prefix, margin = case
    plan = pitome_matching(keys, r, prefix, None, margin)
    for b, sample in enumerate(keys.double().tolist()):
        try:
            wanted = slow_pitome(sample, [False] * len(sample), r, prefix, margin)
        except NearTieError:
            assume(False)
        assert merges_of(plan, b) == wanted


@SETTINGS
@given(cases(), st.integers(0, 2**31))
def test_padding_counts_in_no_energy(case, seed):
    """Patches merge among themselves as if the padding, an even number, were not there."""
    keys, r, prefix, margin = case
    sample, alone = keys[:1], merges_of(pitome_matching(keys[:1], r, prefix, None, margin), 0)
    try:
        slow_pitome(sample[0].double().tolist(), [False] * sample.shape[1], r, prefix, margin)
    except NearTieError:
        assume(False)
    pads = 2 * (1 + seed % 3)
    longer = torch.cat([sample, randn(1, pads, sample.shape[2], seed=seed) + 2], dim=1)
    padding = torch.arange(longer.shape[1])[None] >= sample.shape[1]
    merges = merges_of(pitome_matching(longer, r + pads // 2, prefix, padding, margin), 0)
    assert {a: b for a, b in merges.items() if a < sample.shape[1]} == alone
    assert all(b >= sample.shape[1] for a, b in merges.items() if a >= sample.shape[1])


@SETTINGS
@given(cases())
def test_energy_is_that_of_the_slow_reference(case):
    keys, _, prefix, margin = case
    free = keys[:, prefix:]
    energy = _energy(cosines(directions(free), directions(free)), margin, None) / (free.shape[1] - 1)
    for b, sample in enumerate(keys.double().tolist()):
        try:
            wanted = slow_energy(sample, [False] * len(sample), prefix, margin)
        except NearTieError:
            assume(False)
        torch.testing.assert_close(energy[b], torch.tensor(list(wanted.values())), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("margin", [0.0, 0.45, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_tokens_unlike_all_others_are_protected(seed, margin):
    """Two clusters of like tokens, and four tokens alone, at places drawn at random."""
    axes = 10 * torch.eye(8)
    tokens = torch.cat([axes[0].expand(10, -1), axes[1].expand(8, -1), axes[2:6]]) + 0.1 * randn(22, 8, seed=seed)
    order = torch.randperm(22, generator=torch.Generator().manual_seed(seed))
    cluster = torch.tensor([0] * 10 + [1] * 8 + [2, 3, 4, 5])[order].tolist()
    for r in range(1, 10):
        merges = merges_of(pitome_matching(tokens[order][None], r, 0, None, margin), 0)
        assert len(merges) == r
        assert all(cluster[a] == cluster[b] < 2 for a, b in merges.items())
    everything = merges_of(pitome_matching(tokens[order][None], 11, 0, None, margin), 0)
    assert any(cluster[a] >= 2 for a in everything)


def test_prefix_tokens_count_in_no_energy():
    """Tokens 2 to 5 are two pairs; the prefix is like the looser one."""
    tight, loose = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    keys = torch.stack([loose, loose, tight, tight + 0.01, loose - torch.tensor([0.4, 0]), loose + 0.2])[None]
    assert set(merges_of(pitome_matching(keys, 1, 2), 0).items()) <= {(2, 3), (3, 2)}


def test_the_margin_falls_with_progress():
    assert [pitome_margin(i / 12) for i in (0, 4, 8)] == pytest.approx([0.9, 0.6, 0.3])
    assert pitome_margin(1.0) == 0
    keys = randn(2, 40, 6) + 0.5
    seen = set()
    for progress in (0.0, 0.3, 0.9):
        got = match("pitome", keys, 10, 1, None, progress)
        wanted = pitome_matching(keys, 10, 1, None, 0.9 - 0.9 * progress)
        assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))
        seen.add(tuple(got.keep.flatten().tolist()))
    assert len(seen) == 3


def test_the_default_margin_is_that_of_the_first_block():
    keys = randn(2, 40, 6) + 0.5
    assert torch.equal(pitome_matching(keys, 10).keep, match("pitome", keys, 10).keep)


@pytest.mark.parametrize("margin", [-1.5, 1.5])
def test_a_margin_that_no_cosine_has_is_refused(margin):
    with pytest.raises(MergeMixError, match=r"^margin: "):
        pitome_matching(randn(1, 6, 4), 1, margin=margin)


def test_keys_are_checked_before_they_are_matched():
    with pytest.raises(MergeMixError, match=r"^keys: got"):
        pitome_matching(randn(4, 4), 1)


def test_an_export_to_onnx_has_the_same_energy(monkeypatch):
    similarity = cosines(*[directions(randn(2, 7, 4))] * 2)
    wanted = _energy(similarity, 0.9, None)
    monkeypatch.setattr(pitome, "writes_onnx", lambda: True)
    torch.testing.assert_close(_energy(similarity, 0.9, None), wanted)
