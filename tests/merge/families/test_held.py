"""A user's module that holds blocks of a known class, and nothing else that is known."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ...models import redraw, tiny
from ..reference import Wrapper, randn, sequence_lengths
from .cases import BUILDERS


class Encoder(nn.Module):
    """A user's own: two class tokens, blocks in a list, a mean over all tokens."""

    num_prefix_tokens = 2

    def __init__(self, depth=3):
        super().__init__()
        self.prefix = nn.Parameter(torch.zeros(1, 2, 48))
        self.layers = nn.ModuleList([Block(48, 3, qkv_bias=True) for _ in range(depth)])
        self.norm = nn.LayerNorm(48)

    def forward(self, x):
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Encoder(2)

    def forward(self, x):
        return self.decoder(self.encoder(x)[:, 2:])


def build(cls=Encoder):
    return redraw(cls()).eval()


X = randn(2, 16, 48)


def test_blocks_are_found_and_all_tokens_come_back():
    model = build()
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    plain = model(X)
    assert mm.patch(model, 0) is model
    assert torch.equal(model(X), plain)
    mm.patch(model, 3)
    with mm.record(model) as rec:
        merged = model(X)
    assert merged.shape == plain.shape
    assert not torch.allclose(merged, plain, rtol=1e-3)
    assert sequence_lengths(rec.layers) == [15, 12, 9]
    assert (rec.layers[-1].source[:, :2] == torch.arange(2)).all()
    mm.unpatch(model)
    assert torch.equal(model(X), plain)
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


def test_it_merges_as_the_whole_model_does():
    vit = tiny(global_pool="avg", class_token=True)
    wanted = mm.patch(copy.deepcopy(vit), 3).forward_features(randn(2, 3, 64, 64))
    held = nn.ModuleDict({"trunk": vit.blocks})
    mm.patch(held, 3, prefix_tokens=1)
    assert torch.equal(vit.forward_features(randn(2, 3, 64, 64)), wanted)


@pytest.mark.parametrize("blocks", ["encoder.layers", lambda m: m.encoder.layers, lambda m: list(m.encoder.layers)])
def test_blocks_selects_by_path_container_or_one_by_one(blocks):
    model = build(TwoTowers)
    selected = blocks if isinstance(blocks, str) else blocks(model)
    mm.patch(model, 3, blocks=selected, prefix_tokens=2)
    assert [hasattr(block, "merging") for block in model.encoder.layers] == [True] * 3
    assert not any(hasattr(block, "merging") for block in model.decoder.layers)
    with mm.merging(model, 5), mm.record(model, attention=False) as rec:
        model(X)
    assert sequence_lengths(rec.layers) == [13, 8, 5]
    mm.patch(model, 2, blocks=selected)
    mm.unpatch(model)
    assert not any(hasattr(block, "merging") for block in model.encoder.layers)


def test_a_part_of_the_blocks_can_be_selected():
    model = build()
    mm.patch(model, 3, blocks=list(model.layers)[1:])
    with mm.record(model, attention=False) as rec:
        assert model(X).shape == (2, 18, 48)
    assert sequence_lengths(rec.layers) == [15, 12]


def test_the_path_of_a_whole_models_blocks_is_that_model():
    vit = tiny()
    held = Wrapper(vit)
    mm.patch(held, 3, blocks="module.blocks", prefix_tokens=1)
    assert mm.merge_info(vit).r == 3
    mm.unpatch(held)


def test_copies_and_pickles_have_a_state_of_their_own():
    model = mm.patch(build(), 3)
    wanted = model(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(X), wanted)
        mm.patch(other, 0)
        assert torch.equal(model(X), wanted)
        mm.unpatch(other)
        assert torch.equal(other(X), mm.merging(model, 0).__enter__()(X))
        mm.patch(model, 3)


def test_wrappers_around_it_are_looked_through():
    model = build()
    mm.patch(torch.compile(model, backend="eager"), 3)
    with mm.record(nn.DataParallel(model), attention=False) as rec:
        model(X)
    assert sequence_lengths(rec.layers) == [15, 12, 9]


def test_checkpointing_a_block_from_outside_is_an_error_and_not_a_wrong_gradient():
    class Checkpointed(Encoder):
        def forward(self, x):
            for layer in self.layers:
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
            return x

    model = mm.patch(build(Checkpointed), 3)
    out = model(randn(2, 18, 48).requires_grad_())
    with pytest.raises(MergeMixError, match="a checkpoint around single blocks runs them again"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"blocks": "encoder.nothing"},
            r"^blocks: got 'encoder\.nothing', wanted .* has nothing of that name",
        ),
        ({"blocks": 3}, r"^blocks: got 3, wanted the path of a container of blocks"),
        ({"blocks": []}, r"^blocks: got \[\], wanted"),
        ({"blocks": [nn.Linear(2, 2)]}, r"^blocks: got .*, wanted blocks inside TwoTowers"),
        ({"blocks": "encoder", "prefix_tokens": 0}, r"encoder\.layers is of class ModuleList, for which there is no"),
        ({}, r"wanted blocks= to select a sequence; it contains 'encoder\.layers', 'decoder\.layers'"),
        ({"blocks": "encoder.layers"}, r"^prefix_tokens: got None, wanted a number, since TwoTowers has no"),
        ({"blocks": "encoder.layers", "prefix_tokens": -1}, r"^prefix_tokens: got -1, wanted an integer >= 0"),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_has_changed(options, message):
    model = build(TwoTowers)
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    with pytest.raises(MergeMixError, match=message):
        mm.patch(model, 3, **options)
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


def test_the_blocks_of_a_patched_model_are_no_module_of_their_own():
    vit = mm.patch(tiny(), 3)
    with pytest.raises(MergeMixError, match="wanted the whole model that was patched"):
        mm.unpatch(vit.blocks)


def test_prefix_tokens_must_fit_what_the_attention_counts_on():
    model = BUILDERS["rope"]()
    with pytest.raises(MergeMixError, match="prefix_tokens: got 0, wanted at least 1, which the attention"):
        mm.patch(nn.ModuleDict({"trunk": model.blocks}), 3, prefix_tokens=0)


def test_more_prefix_tokens_than_tokens_is_an_error():
    model = mm.patch(build(), 3, prefix_tokens=40)
    with pytest.raises(MergeMixError, match="prefix_tokens: got 40, wanted at most 18, the tokens that enter block 0"):
        model(X)


def test_patching_again_follows_blocks_that_were_cut_off():
    model, cut = mm.patch(build(), 4), build()
    model.layers, cut.layers = model.layers[:2], cut.layers[:2]
    wanted = mm.patch(cut, [4, 4])(X)
    assert wanted.shape == (2, 18, 48)
    assert torch.equal(mm.patch(model, [4, 4])(X), wanted)


def test_a_single_block_merges():
    block = redraw(Block(48, 3)).eval()
    mm.patch(block, 4, prefix_tokens=1)
    with mm.record(block, attention=False) as rec:
        assert block(X).shape == X.shape
    assert sequence_lengths(rec.layers) == [12]


def test_its_grid_is_unknown():
    model = mm.patch(build(), 3)
    for call in (
        lambda: mm.merge_info(model),
        lambda: mm.merge_info(model, (64, 64)),
        lambda: mm.tune_r(model, tokens=8),
        lambda: mm.tune_r(model, tokens=8, images=randn(2, 3, 64, 64)),
    ):
        with pytest.raises(MergeMixError, match="only the blocks of Encoder are known, not its grid"):
            call()
    with pytest.raises(MergeMixError, match="only the blocks of Encoder are known, not its grid"):
        mm.saliency_map(model, randn(2, 3, 64, 64))


def test_supported_tells_that_it_is_known_by_its_blocks():
    report = mm.supported(build())
    assert (report.family, report.blocks) == ("blocks", 3)


class MaskedAutoencoder(nn.Module):
    """A known model and, beside it, blocks of the user's own."""

    def __init__(self):
        super().__init__()
        self.encoder = tiny()
        self.layers = nn.ModuleList([Block(48, 3, qkv_bias=True) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_patched_blocks_beside_a_known_model_are_the_ones_that_are_meant():
    model = build(MaskedAutoencoder)
    plain = model(X)
    mm.patch(model, 3, blocks="layers", prefix_tokens=1)
    assert not hasattr(model.encoder, "merging")
    with mm.merging(model, r=0):
        assert torch.equal(model(X), plain)
    with mm.record(model) as rec:
        assert not torch.equal(model(X), plain)
    assert len(rec.layers) == 2
    assert type(mm.unpatch(model).layers[0]) is Block
    assert torch.equal(model(X), plain)
