"""NaFlexVit: images of several sizes in one batch, padded to one length."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..reference import randn, relative_error, sequence_lengths
from .cases import NAFLEX, build, known

GRIDS = [(4, 4), (3, 4), (2, 3)]

each_naflex = pytest.mark.parametrize("case", known(NAFLEX))


def patches(grids, length=16, seed=0):
    """A batch as timm's NaFlex loader makes it: patches, their coordinates, and which are none."""
    batch = {
        "patches": randn(len(grids), length, 16 * 16 * 3, seed=seed),
        "patch_coord": torch.zeros(len(grids), length, 2, dtype=torch.int64),
        "patch_valid": torch.zeros(len(grids), length, dtype=torch.bool),
    }
    for i, (rows, columns) in enumerate(grids):
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        batch["patch_coord"][i, : len(grid)] = grid
        batch["patch_valid"][i, : len(grid)] = True
    return batch


def alone(batch, i):
    """One image of a batch, without its padding."""
    count = int(batch["patch_valid"][i].sum())
    return {key: value[i : i + 1, :count] for key, value in batch.items()}


@each_naflex
def test_r0_is_the_model_itself(case):
    model, batch = build(case), patches(GRIDS)
    plain = model(batch)
    assert torch.equal(mm.patch(model, 0)(batch), plain)
    assert not torch.allclose(mm.patch(model, 3)(batch), plain, rtol=1e-3)
    mm.unpatch(model)
    assert torch.equal(model(batch), plain)


@each_naflex
def test_padding_merges_first_and_changes_nothing(case):
    model, batch = build(case), patches([(3, 4), (2, 3)])
    plain = model(batch)
    mm.patch(model, [2, 0, 0])  # the first image has 4 patches of padding, the second one 10
    with mm.record(model, attention=False) as rec:
        merged = model(batch)
    assert relative_error(merged, plain) <= 2e-5
    start = model.num_prefix_tokens
    assert sequence_lengths(rec.layers) == [start + 14] * 3
    assert rec.layers[-1].size.sum(dim=1).tolist() == [start + 12, start + 6]


@each_naflex
def test_an_image_without_padding_merges_as_it_does_alone(case):
    model, batch = mm.patch(build(case), 2), patches(GRIDS)
    with torch.no_grad():
        assert relative_error(model(batch)[:1], model(alone(batch, 0))) <= 2e-5


@each_naflex
def test_merging_beyond_the_padding_keeps_every_patch(case):
    model, batch = mm.patch(build(case), [6, 5, 2]), patches(GRIDS)
    with mm.record(model) as rec:
        out = model(batch)
    start = model.num_prefix_tokens
    assert sequence_lengths(rec.layers) == [start + 10, start + 5, start + 3]
    for layer in rec.layers:
        assert layer.size.sum(dim=1).tolist() == [start + 16, start + 12, start + 6]
        assert layer.attention.isfinite().all()
        assert (layer.attention[~batch["patch_valid"]] == 0).all()
    out.square().sum().backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(grads) > 20
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("matching", ["bipartite", "random", "kth", "pitome"])
def test_every_matching_knows_padding(matching):
    model, batch = build("naflex, class token"), patches([(3, 4), (2, 3)])
    plain = model(batch)
    mm.patch(model, [2, 0, 0], matching=matching)
    torch.manual_seed(0)
    assert relative_error(model(batch), plain) <= 2e-5


@pytest.mark.parametrize("case", ["naflex", "naflex, class token", "naflex, rope"])
def test_what_padding_holds_does_not_matter(case):
    model, batch = mm.patch(build(case), 3), patches(GRIDS)
    noise = torch.where(
        batch["patch_valid"].unsqueeze(-1), batch["patches"], 10 * randn(*batch["patches"].shape, seed=5)
    )
    with torch.no_grad():
        torch.testing.assert_close(model(batch), model(batch | {"patches": noise}), rtol=1e-4, atol=1e-5)


def test_padding_stays_masked_without_proportional_attention():
    model, batch = build("naflex, class token"), patches([(3, 4), (2, 3)])
    plain = model(batch)
    mm.patch(model, [2, 0, 0], prop_attn=False)
    assert relative_error(model(batch), plain) <= 2e-5


def test_checkpointing_with_patch_dropout_and_padding_changes_no_gradient():
    results = []
    for checkpointing in (False, True):
        model = mm.patch(build("naflex, rope", patch_drop_rate=0.25), 2).train()
        model.set_grad_checkpointing(checkpointing)
        torch.manual_seed(0)
        model(patches(GRIDS)).square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(map(torch.equal, *results))


def test_nothing_of_a_batch_is_left_for_the_next_one():
    model, x = mm.patch(build("naflex"), 2), randn(2, 3, 64, 64)
    wanted = model(x)
    model(patches(GRIDS))
    assert torch.equal(model(x), wanted)
    model.blocks[0].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(patches(GRIDS))
    model.blocks[0]._forward_pre_hooks.clear()
    assert torch.equal(model(x), wanted)


def test_intermediates_of_patches_have_all_tokens():
    model, batch = build("naflex, class token"), patches(GRIDS)
    try:
        plain = model.forward_intermediates(batch, output_fmt="NLC", intermediates_only=True)
    except AssertionError as error:
        pytest.skip(f"this release of timm gives no intermediates of patches: {error}")
    mm.patch(model, 3)
    merged = model.forward_intermediates(batch, output_fmt="NLC", intermediates_only=True)
    assert [layer.shape for layer in merged] == [layer.shape for layer in plain]


def test_a_mask_of_the_users_own_is_refused():
    model, batch = mm.patch(build("naflex"), 2), patches(GRIDS)
    start = model.num_prefix_tokens
    mask = torch.zeros(3, 1, start + 16, start + 16)
    with pytest.raises(MergeMixError, match="attn_mask: got a mask, wanted no mask"):
        model(batch | {"attn_mask": mask})
    assert mm.patch(model, 0)(batch | {"attn_mask": mask}).isfinite().all()
